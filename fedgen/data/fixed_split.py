"""split.json: which patient is in which part, and how many train, as it was fixed when a run or a study began."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedgen.data.pseudonyms import Pseudonyms
from fedgen.data.site_data import Part, SiteData
from fedgen.errors import DataError
from fedgen.run.atomic import write_json

#: Raised when the meaning of split.json changes; an older one is then refused, not misread.
_VERSION = 3


@dataclass(frozen=True)
class FixedSplit:
    """What was fixed.

    Attributes:
        path: of split.json.
        key: name of the key of pseudonyms that it was written with.
        salt: of this run's own pseudonyms: by split.json alone nobody can follow a patient from one run to another.
        parts: by the run's pseudonym of each patient, the name of the part.
        training: by the run's pseudonym of each site, its training patients.
    """

    path: Path
    key: str
    salt: str
    parts: Mapping[str, str]
    training: Mapping[str, int]

    @classmethod
    def find(cls, own: Path, pseudonyms: Pseudonyms) -> FixedSplit | None:
        """What was fixed earlier; None where nothing was.

        Raises:
            DataError: split.json is damaged, of another version, or written with another key of pseudonyms.
        """
        path = own / "split.json"
        try:
            if not path.exists():
                return None
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["version"] != _VERSION:
                raise ValueError(f"its version is {value['version']}, this program's {_VERSION}")
            found = cls(
                path, str(value["key"]), str(value["salt"]), dict(value["patients"]), dict(value["training"])
            )
            if _digest(found.parts) != value["sha256"]:
                raise ValueError("its patients are not those that were fixed")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is damaged ({error}): restore it; only a new run can do without."
            ) from None
        if found.key != pseudonyms.name:
            raise DataError(
                f"{path} was written with another key of pseudonyms than is here now: restore the site's "
                "pseudonym.key; only a new run can do without."
            )
        return found

    def parts_of(
        self, patients: Sequence[str], withdrawn: frozenset[str], pseudonyms: Pseudonyms
    ) -> dict[str, Part]:
        """The parts of the patients who are left, as they were fixed.

        Args:
            patients: their identities.
            withdrawn: pseudonyms of those who may be missing.
            pseudonyms: the site's own.

        Raises:
            DataError: somebody is new, or somebody is missing who has not withdrawn.
        """
        ours = pseudonyms.of_run(self.salt)
        names = {patient: ours.patient(pseudonyms.patient(patient)) for patient in patients}
        missing = self.parts.keys() - set(names.values())
        if names.values() - self.parts.keys() or missing - {ours.patient(name) for name in withdrawn}:
            raise self.changed()
        return {patient: Part[self.parts[name].upper()] for patient, name in names.items()}

    def enrolled(self, site: str, pseudonyms: Pseudonyms) -> int:
        """Training patients of a site when this was fixed."""
        return self.training[pseudonyms.of_run(self.salt).site(site)]

    def require_sites(self, sites: Sequence[str], pseudonyms: Pseudonyms) -> None:
        """Refuse a site with nobody left.

        Raises:
            DataError: there is one.
        """
        ours = pseudonyms.of_run(self.salt)
        if self.training.keys() - {ours.site(site) for site in sites}:
            raise DataError(
                "Every patient of a site has withdrawn since the study began, and it cannot go on without that site: "
                "begin another study with those that are left."
            )

    def changed(self) -> DataError:
        """The one sentence for data that are not those that were split."""
        return DataError(
            f"The data, data.split or the seed changed since {self.path} was written, and a patient held out "
            "then could train now: restore them, or have those who are missing withdrawn; only a new run may have "
            "another split."
        )


def fix_split(
    own: Path,
    fixed: FixedSplit | None,
    parts: Mapping[str, Part],
    sites: Sequence[SiteData],
    pseudonyms: Pseudonyms,
) -> None:
    """Write split.json, or refuse a split that is not the one it has.

    Args:
        own: the folder.
        fixed: what is there.
        parts: of each patient, by identity; of all that were there at the beginning.
        sites: with these parts.
        pseudonyms: the site's own.

    Raises:
        DataError: the split is another, or the file cannot be written.
    """
    salt = secrets.token_hex(16) if fixed is None else fixed.salt
    ours = pseudonyms.of_run(salt)
    # Through the site's own pseudonym, so that somebody who has withdrawn can be told by that alone.
    ordered = dict(
        sorted((ours.patient(pseudonyms.patient(name)), part.name.lower()) for name, part in parts.items())
    )
    if fixed is not None:
        if ordered != fixed.parts:
            raise fixed.changed()
        return
    training = {ours.site(site.site): site.part(Part.TRAIN).n_patients for site in sites}
    value = {
        "version": _VERSION,
        "key": pseudonyms.name,
        "salt": salt,
        "sha256": _digest(ordered),
        "training": dict(sorted(training.items())),
        "patients": ordered,
    }
    write_json(own / "split.json", value, indent=1)


def _digest(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
