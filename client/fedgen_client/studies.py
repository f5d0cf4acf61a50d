"""Studies that were offered to this site, on its disk: signed manifests, and what the site decided of each.

A manifest is checked whenever it is read, not only when it came: signature, study, and this site's own place in the
roster. So a file that was changed on the disk is as little believed as one changed on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen.errors import FedgenError, PrivacyRefusedError, StudyError
from fedgen.protocol.manifest import (
    Manifest,
    SignedManifest,
    decode_signed,
    encode_signed,
    manifest_sha256,
    open_manifest,
)
from fedgen.run.atomic import unreadable, write_atomic
from fedgen_client.approval import Approval, read_approval
from fedgen_client.folder import SiteFolder
from fedgen_client.site_log import fingerprint

if TYPE_CHECKING:
    from fedgen.study.study import Study

FEWEST_DIGITS = 8
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class OfferedStudy:
    """One study of the federation, its manifest verified.

    Attributes:
        manifest: what the coordinator signed.
        manifest_sha256: what an approval approves.
        study: the resolved study.
        others: name and key, hex, of every site of the roster but this one.
        decision: what this site decided of this very manifest, or None.
        lapsed: a decision that was about an earlier manifest of the same study, such as one with another roster.
    """

    manifest: Manifest
    manifest_sha256: str
    study: Study
    others: Mapping[str, str]
    decision: Approval | None
    lapsed: Approval | None = None

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.study.name

    @property
    def study_sha256(self) -> str:
        """The study's hash, which names its folder."""
        return self.manifest.study_sha256

    @property
    def roster_size(self) -> int:
        """How many sites are in it, this one included."""
        return len(self.manifest.roster)


class Studies:
    """The studies of one site's folder.

    Args:
        folder: of a site that has joined.

    Raises:
        FederationError: it has joined no federation.
        DataError, PrivacyRefusedError: its membership or key cannot be used.
    """

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder
        self._membership = folder.membership()
        self._key = folder.identity(self._membership.site).public_key.hex()

    def keep(self, signed: SignedManifest) -> OfferedStudy:
        """Verify a manifest that came and store it; a decision about an earlier one of the same study lapses.

        Raises:
            PrivacyRefusedError: it is not signed by this federation's coordinator, does not fit, or this site is not
                in its roster with its own key.
            DataError: it cannot be stored.
        """
        offered = self._open(signed)
        path = self._path(offered.study_sha256)
        content = encode_signed(signed)
        if not path.exists() or path.read_bytes() != content:
            self._folder.journal.write(
                "received",
                study=offered.study_sha256,
                name=offered.name,
                kind="manifest",
                **fingerprint(content),
            )
            write_atomic(path, content)
        return offered

    def keep_all(self, offers: Iterable[SignedManifest]) -> list[FedgenError]:
        """Keep every manifest that verifies; the errors of those that do not, so that none hides the others.

        Raises:
            DataError: one cannot be stored.
        """
        errors: list[FedgenError] = []
        for signed in offers:
            try:
                self.keep(signed)
            except PrivacyRefusedError as error:
                errors.append(error)
        return errors

    def all(self) -> list[OfferedStudy]:
        """Every stored study, the latest first.

        Raises:
            PrivacyRefusedError: a stored manifest was changed.
            DataError: a file cannot be read.
        """
        found = [self.get(path.name) for path in self._folder.studies.glob("*") if _HASH.fullmatch(path.name)]
        return sorted(
            (study for study in found if study is not None),
            key=lambda study: (study.manifest.created, study.study_sha256),
            reverse=True,
        )

    def get(self, study_sha256: str) -> OfferedStudy | None:
        """The stored study with this hash, or None.

        Raises:
            PrivacyRefusedError: its manifest was changed on the disk.
            DataError: a file cannot be read.
        """
        path = self._path(study_sha256)
        try:
            signed = decode_signed(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        found = self._open(signed)
        if found.study_sha256 != study_sha256:
            raise PrivacyRefusedError(
                f"{path} holds the manifest of another study than its folder names: remove the folder, the "
                "coordinator will offer the study again."
            )
        return found

    def find(self, wanted: str) -> OfferedStudy:
        """The one study meant by a name, a hash or its first digits, or the path of a manifest file, which is kept.

        Raises:
            StudyError: none or several are meant.
            PrivacyRefusedError, DataError: see `keep` and `all`.
        """
        path = Path(wanted)
        if path.suffix == ".json" or path.is_file():
            return self.keep(_read_manifest(path))
        known = self.all()
        found = [study for study in known if study.name == wanted]
        if not found and len(wanted) >= FEWEST_DIGITS and re.fullmatch(r"[0-9a-f]{8,64}", wanted.lower()):
            found = [study for study in known if study.study_sha256.startswith(wanted.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            which = ", ".join(
                f"{study.study_sha256[:12]} of {study.manifest.created:%Y-%m-%d}" for study in found
            )
            raise StudyError(f"{wanted!r} can mean {len(found)} studies: name one by its hash ({which}).")
        offered = ", ".join(f"{study.name} ({study.study_sha256[:12]})" for study in known) or "none yet"
        raise StudyError(
            f"No study {wanted!r} is offered to this site (offered: {offered}): run `fedgen-client studies` to ask the "
            f"coordinator; a hash needs at least {FEWEST_DIGITS} of its digits."
        )

    def _path(self, study_sha256: str) -> Path:
        return self._folder.study(study_sha256) / "manifest.json"

    def _verify(self, signed: SignedManifest) -> Manifest:
        manifest = open_manifest(signed, bytes.fromhex(self._membership.coordinator_key))
        name, site = manifest.to_study().study.name, self._membership.site
        if manifest.federation != self._membership.federation:
            raise PrivacyRefusedError(
                f"The manifest of {name} is of the federation {manifest.federation}, but this site is in "
                f"{self._membership.federation}: ask the coordinator for one of that."
            )
        if manifest.roster.get(site) != self._key:
            raise PrivacyRefusedError(
                f"The manifest of {name} does not have {site} with this site's own key in its roster: ask the "
                "coordinator for one that does."
            )
        return manifest

    def _open(self, signed: SignedManifest) -> OfferedStudy:
        manifest = self._verify(signed)
        sha256 = manifest_sha256(signed)
        approval = read_approval(self._folder.study(manifest.study_sha256))
        current = approval is not None and approval.manifest_sha256 == sha256
        return OfferedStudy(
            manifest,
            sha256,
            manifest.to_study(),
            others={name: key for name, key in manifest.roster.items() if name != self._membership.site},
            decision=approval if current else None,
            lapsed=None if current else approval,
        )


def _read_manifest(path: Path) -> SignedManifest:
    try:
        return decode_signed(path.read_bytes())
    except FileNotFoundError:
        raise StudyError(f"The manifest {path} does not exist: check the path.") from None
    except OSError as error:
        raise unreadable(path, error) from error
