"""The study manifest: what a site approves, once, by its hash. Data only, signed by the coordinator.

The signature is over the very text that is stored and sent, so nothing needs to be written again in the same way to be
checked. A site runs what the manifest says with code that it installed itself; no code is in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, ValidationError

import fedgen
from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen.protocol.fields import NAME_PATTERN, Hex32, Hex64, SiteName, UtcTime
from fedgen.schema.canonical import canonical
from fedgen.schema.section import Section
from fedgen_privacy.secagg import Identity, Roster

if TYPE_CHECKING:
    # The form of a study takes longer to make than most commands that import this room; below where it is needed.
    from fedgen.study.study import Study

VERSION = 1
_DOMAIN = b"fedgen-manifest/1\n"
#: Far above any study, far below what would hurt to parse.
MAX_BYTES = 4 * 1024 * 1024


class Manifest(Section):
    """What a coordinator asks of the sites.

    Attributes:
        version: of this form.
        federation: its name.
        created: when it was signed, UTC.
        fedgen: the coordinator's version.
        study: the resolved study, every default written out.
        study_sha256: `fedgen.study.show.study_hash` of it.
        roster: name and Ed25519 public key of every site that takes part.
    """

    version: Literal[1] = 1
    federation: str = Field(pattern=NAME_PATTERN)
    created: UtcTime
    fedgen: str = Field(max_length=64)
    study: dict[str, Any]
    study_sha256: Hex32
    roster: dict[SiteName, Hex32] = Field(min_length=1)

    def to_study(self) -> Study:
        """The study; raises ValidationError where it is none that this version of fedgen knows."""
        from fedgen.study.study import Study

        return Study.model_validate_json(json.dumps(self.study))

    def to_roster(self) -> Roster:
        """The sites and their keys; raises StudyError where two have one key."""
        return Roster({site: bytes.fromhex(key) for site, key in self.roster.items()})


class SignedManifest(Section):
    """A manifest's text, and the coordinator's Ed25519 signature over it."""

    text: str = Field(max_length=MAX_BYTES)
    signature: Hex64


def manifest_of(federation: str, study: Study, roster: Mapping[str, bytes], created: datetime) -> Manifest:
    """The manifest of a study.

    Args:
        federation: its name.
        study: the resolved study.
        roster: site name to Ed25519 public key, 32 bytes.
        created: now, in UTC.

    Raises:
        StudyError: the roster is none (see `Roster`).
    """
    from fedgen.study.show import study_hash

    Roster(roster)
    return Manifest(
        federation=federation,
        created=created,
        fedgen=fedgen.__version__,
        study=study.model_dump(mode="json"),
        study_sha256=study_hash(study),
        roster={site: key.hex() for site, key in roster.items()},
    )


def sign_manifest(manifest: Manifest, identity: Identity) -> SignedManifest:
    """Write the manifest as canonical JSON and sign that."""
    text = canonical(manifest.model_dump(mode="json"))
    return SignedManifest(text=text, signature=identity.sign(_DOMAIN + text.encode()).hex())


def open_manifest(signed: SignedManifest, coordinator_key: bytes) -> Manifest:
    """The manifest, once everything about it has been checked.

    Args:
        signed: as it came.
        coordinator_key: the Ed25519 public key that the site got when it joined, 32 bytes.

    Raises:
        PrivacyRefusedError: the signature is not the coordinator's for this very text, or the version, the study, its
            hash or the roster do not fit.
    """
    from fedgen.study.show import study_hash

    data = signed.text.encode(errors="replace")
    try:
        key = Ed25519PublicKey.from_public_bytes(coordinator_key)
        key.verify(bytes.fromhex(signed.signature), _DOMAIN + data)
    except (InvalidSignature, ValueError):
        raise PrivacyRefusedError(
            "The study manifest is not signed by this federation's coordinator, or was changed since: ask the "
            "coordinator to send it again, and do not approve it."
        ) from None
    try:
        manifest = Manifest.model_validate_json(data)
        study = manifest.to_study()
        manifest.to_roster()
    except (ValidationError, StudyError) as error:
        raise PrivacyRefusedError(
            f"The study manifest is not of a form that fedgen {fedgen.__version__} knows ({_first(error)}): use the "
            "coordinator's version of fedgen."
        ) from None
    if study_hash(study) != manifest.study_sha256 or study.model_dump(mode="json") != manifest.study:
        raise PrivacyRefusedError(
            f"The study in the manifest of {study.study.name} reads differently here than at the coordinator, which "
            f"has fedgen {manifest.fedgen} and this site {fedgen.__version__}: use the same version."
        )
    return manifest


def manifest_sha256(signed: SignedManifest) -> str:
    """What a site approves: SHA-256 (hex) of the manifest's text."""
    return hashlib.sha256(signed.text.encode(errors="replace")).hexdigest()


def encode_signed(signed: SignedManifest) -> bytes:
    """A signed manifest as the one file it is stored and handed over in."""
    return canonical(signed.model_dump(mode="json")).encode() + b"\n"


def decode_signed(data: bytes) -> SignedManifest:
    """Read such a file; its content is checked by `open_manifest`.

    Raises:
        PrivacyRefusedError: it is not the very bytes that `encode_signed` writes.
    """
    try:
        signed = SignedManifest.model_validate_json(data)
    except ValidationError:
        signed = None
    # Bytes that read alike but differ, such as other white space, are refused: one study has one file.
    if signed is None or encode_signed(signed) != data:
        raise PrivacyRefusedError(
            "The file of the study manifest is damaged: ask the coordinator to send it again."
        )
    return signed


def _first(error: ValidationError | StudyError) -> str:
    if isinstance(error, StudyError):
        return str(error).rstrip(".")
    detail = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in detail["loc"]) or "the text"
    return f"{place}: {detail['msg']}"
