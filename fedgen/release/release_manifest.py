"""The manifest of a release: everything that is in it and behind it, signed by whoever releases it.

No time is in it: the same run, released with the same key and the same acceptance, has the same bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, ValidationError

from fedgen.errors import DataError
from fedgen.protocol.fields import Hex32, Hex64
from fedgen.protocol.receipt import Span, Withdrawn
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Verdict
from fedgen.run.summary import ModelEntry, Source
from fedgen.schema.canonical import canonical
from fedgen.schema.section import Section
from fedgen.task.image_spec import ImageSpec
from fedgen_privacy.secagg import Identity

#: Files of a release that its manifest does not list, because they hold or sign it.
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
#: Other files at its top.
DATASHEET, REPORT, CROISSANT, STUDY = "datasheet.md", "report.html", "croissant.json", "study.yaml"
IMAGES, MODEL, EVIDENCE, RECEIPTS = "images", "model", "evidence", "receipts"

#: A path in a release: folders and names of letters that every file system and archive agrees on.
PATH_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"
_DOMAIN = b"fedgen-release/1\n"

F = TypeVar("F", bound=Section)

Count = Annotated[int, Field(ge=0, lt=2**53)]
ReleasePath = Annotated[str, Field(pattern=PATH_PATTERN, max_length=512)]
Spans = Annotated[tuple[Span, ...], Field(strict=False)]


class FileEntry(Section):
    """A file: SHA-256 and number of bytes."""

    sha256: Hex32
    bytes: Count


class Signer(Section):
    """Who signs: a name, and the Ed25519 public key that the signature is checked by."""

    name: str
    key: Hex32


class CodeEntry(Section):
    """Which code.

    Attributes:
        fedgen: version that packed the release.
        source_sha256: of all its source files.
        trained_with: versions of fedgen and of the libraries that decide results, as the run noted them.
    """

    fedgen: str
    source_sha256: Hex32
    trained_with: dict[str, str]


class PriorEntry(Section):
    """What was known before the patients were asked: weights or a public prior.

    Attributes:
        sha256: of its file; empty where none was kept.
        source: what it was made of, with its licence, as whoever wrote the study states it.
        licence: as the file states it itself; None where it states none.
        statement: what the file says of its own making; None where it says nothing.
    """

    sha256: str
    source: str
    licence: str | None
    statement: str | None


class PrivacyClaim(Section):
    """What is promised to the patients: privacy.json in short."""

    unit: str
    mode: str
    epsilon: float | None
    delta: float | None
    accountant: str | None
    holds_against: str
    statement: str
    limits: tuple[str, ...] = Field(strict=False)

    @classmethod
    def of(cls, file: PrivacyFile) -> PrivacyClaim:
        """As the file has it."""
        return cls(**{name: getattr(file, name) for name in cls.model_fields})


class AcceptedBy(Section):
    """Who accepted a REVIEW, why, and when (ISO 8601, UTC)."""

    name: str
    why: str
    time: str


class GateEntry(Section):
    """The gate: its verdict with the reasons, and who accepted a REVIEW."""

    verdict: Verdict
    reasons: tuple[str, ...] = Field(strict=False)
    accepted: AcceptedBy | None


class SiteLineage(Section):
    """A site in the model.

    Attributes:
        site: name.
        key: its Ed25519 public key; None where none is known.
        rounds: in whose sum or average it is, as the coordinator saw it.
        epsilon: the bound that the coordinator states; None without privacy.
        receipt: whether it signed one, which is in `receipts/`.
        withdrawn: training patients who withdrew while it ran, as the receipt says; None where there is none.
    """

    site: str
    key: Hex32 | None
    rounds: Spans
    epsilon: float | None
    receipt: bool
    withdrawn: tuple[Withdrawn, ...] | None = Field(strict=False)


class Lineage(Section):
    """Whose patients, through which rounds.

    Attributes:
        source: `phantom`, `folder` (a simulation on one machine) or `federation`.
        rounds: of the study, all finished.
        keys: how the sites' keys came about.
        unprotected, protected: sites whose patients are in it without and with privacy, those of a start among them.
        sites: each site in the model.
    """

    source: Source
    rounds: Count
    keys: Literal["of the federation's roster", "made for this run by the machine that simulated the sites"]
    unprotected: tuple[str, ...] = Field(strict=False)
    protected: tuple[str, ...] = Field(strict=False)
    sites: tuple[SiteLineage, ...] = Field(strict=False)


class ReleasedStudy(Section):
    """The study: name, hash of the resolved study, and its own description."""

    name: str
    sha256: Hex32
    description: str


class ReleaseManifest(Section):
    """`manifest.json` of a release.

    Attributes:
        version: of this form.
        kind: `images`, or `model` of a study that translates.
        title: for people.
        licence: the release is given under; None where none is granted.
        signer: who signs.
        study, code, model, priors, privacy, gate, lineage: see their classes.
        image: what a released image is, as far as all sites agree.
        question_sha256: of the question that the sites answered.
        release_sha256: of images, labels and masks as they were drawn; None where the model is the release.
        files: all others of the release.
    """

    version: Literal[1] = 1
    kind: Literal["images", "model"]
    title: str
    licence: str | None
    signer: Signer
    study: ReleasedStudy
    code: CodeEntry
    model: ModelEntry
    priors: tuple[PriorEntry, ...] = Field(strict=False)
    privacy: PrivacyClaim
    gate: GateEntry
    lineage: Lineage
    image: ImageSpec | None
    question_sha256: Hex32
    release_sha256: Hex32 | None
    files: dict[ReleasePath, FileEntry]

    @property
    def text(self) -> bytes:
        """The bytes of manifest.json, which are what is signed."""
        return canonical(self.model_dump(mode="json")).encode() + b"\n"


class SignatureFile(Section):
    """`signature.json`: the Ed25519 signature over the bytes of manifest.json, and the key that made it."""

    version: Literal[1] = 1
    key: Hex32
    signature: Hex64

    @property
    def text(self) -> bytes:
        """The bytes of signature.json."""
        return canonical(self.model_dump(mode="json")).encode() + b"\n"


def signed(manifest: ReleaseManifest, identity: Identity) -> SignatureFile:
    """The signature over a manifest."""
    return SignatureFile(
        key=identity.public_key.hex(), signature=identity.sign(_DOMAIN + manifest.text).hex()
    )


def read_manifest(content: bytes) -> ReleaseManifest:
    """The manifest in the bytes of a file; its signature is checked by `is_signed`.

    Raises:
        DataError: it is none of this version, or not the very bytes that this version would write.
    """
    found = _read(ReleaseManifest, content, MANIFEST)
    if found.text != content:
        raise DataError(f"{MANIFEST} is not written as a manifest is: it was changed.")
    return found


def read_signature(content: bytes) -> SignatureFile:
    """The signature in the bytes of a file.

    Raises:
        DataError: as `read_manifest`.
    """
    found = _read(SignatureFile, content, SIGNATURE)
    if found.text != content:
        raise DataError(f"{SIGNATURE} is not written as a signature is: it was changed.")
    return found


def is_signed(content: bytes, signature: SignatureFile, key: bytes) -> bool:
    """Whether a key's owner signed these bytes of manifest.json."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(signature.signature), _DOMAIN + content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _read(form: type[F], content: bytes, name: str) -> F:
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the text"
        raise DataError(
            f"{name} is of no form that this version of fedgen knows ({place}: {problem['msg']}): it was changed, or "
            "comes from another version."
        ) from None


def is_one_line(text: str) -> bool:
    """Whether a text is one printed line, such as a name or a reason that somebody gives."""
    return bool(text.strip()) and text == text.strip() and text.isprintable()


def json_of(value: object) -> bytes:
    """JSON for people and programs, with a stable order."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
