"""A site's receipt: what it took part in, what that cost its patients and what it answered, under its own signature.

The signature is over the very text that is stored and sent. No time is in it: the same work has the same receipt,
whenever it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, ValidationError, model_validator

from fedgen.errors import PrivacyRefusedError
from fedgen.protocol.fields import Hex32, Hex64
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers
from fedgen.run.row import Name
from fedgen.run.run_file import RunFile
from fedgen.schema.canonical import canonical
from fedgen.schema.section import Section
from fedgen_privacy.secagg import Identity

_DOMAIN = b"fedgen-receipt/1\n"
#: Characters of a receipt.
MAX_RECEIPT = 2**16

Round = Annotated[int, Field(ge=1, lt=2**32)]
#: First and last, both included.
Span = Annotated[tuple[Round, Round], Field(strict=False)]


class Withdrawn(Section):
    """Training patients who were taken out while the study ran.

    Attributes:
        after_round: the last round that may have read them; 0 for none.
        patients: how many.
    """

    after_round: Annotated[int, Field(ge=0, lt=2**32)]
    patients: Annotated[int, Field(ge=1, lt=2**53)]


class SiteReceipt(Section):
    """What a site states.

    Attributes:
        version: of this form.
        site: name.
        study_sha256: of the resolved study.
        model_sha256: of the finished model that it was asked about.
        release_sha256: of the images, labels and masks that it was shown; None where the model is the release.
        question_sha256: of the whole question.
        rounds: of the study that it trained in.
        epsilon: what its ledger holds of this study, at the study's delta; None without privacy.
        delta: None without privacy.
        audit_sha256, evaluation_sha256: of the numbers that it sent; None where its policy withholds them.
        withdrawn: training patients who were taken out, in the order of rounds.
    """

    version: Literal[1] = 1
    site: Name
    study_sha256: Hex32
    model_sha256: Hex32
    release_sha256: Hex32 | None
    question_sha256: Hex32
    rounds: Annotated[tuple[Span, ...], Field(max_length=4096, strict=False)]
    epsilon: Annotated[float, Field(ge=0)] | None
    delta: Annotated[float, Field(gt=0, lt=1)] | None
    audit_sha256: Hex32 | None
    evaluation_sha256: Hex32 | None
    withdrawn: Annotated[tuple[Withdrawn, ...], Field(max_length=1024, strict=False)] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ends = [number for span in self.rounds for number in span]
        if any(first > last for first, last in self.rounds) or ends != sorted(ends):
            raise ValueError("spans of rounds are in order and apart")
        if (self.epsilon is None) != (self.delta is None):
            raise ValueError("an epsilon has a delta")
        return self


class SignedReceipt(Section):
    """A receipt's text, and the site's Ed25519 signature over it."""

    text: Annotated[str, Field(max_length=MAX_RECEIPT)]
    signature: Hex64


class ReceiptFile(RunFile):
    """`receipts/<site>.json`: a receipt as it came, with the key by which it was checked."""

    name: ClassVar[str] = ""
    site: Name
    key: Hex32
    signed: SignedReceipt


def receipt_name(run: RunDirectory, site: str) -> str:
    """Where a run keeps the receipt of a site."""
    return f"receipts/{run.site(site).name}.json"


def sign_receipt(receipt: SiteReceipt, identity: Identity) -> SignedReceipt:
    """Write the receipt as canonical JSON and sign that."""
    text = canonical(receipt.model_dump(mode="json"))
    return SignedReceipt(text=text, signature=identity.sign(_DOMAIN + text.encode()).hex())


def open_receipt(signed: SignedReceipt, key: bytes) -> SiteReceipt:
    """The receipt, once its signature was checked.

    Args:
        signed: as it came.
        key: the site's Ed25519 public key, 32 bytes.

    Raises:
        PrivacyRefusedError: it is not signed with this key, or of no form that this version knows.
    """
    data = signed.text.encode(errors="replace")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(signed.signature), _DOMAIN + data)
    except (InvalidSignature, ValueError):
        raise PrivacyRefusedError(
            "The receipt is not signed by its site, or was changed since: ask the site for it again."
        ) from None
    try:
        receipt = SiteReceipt.model_validate_json(data)
    except ValidationError:
        receipt = None
    if receipt is None or canonical(receipt.model_dump(mode="json")) != signed.text:
        raise PrivacyRefusedError(
            "The receipt is of a form that this version of fedgen does not know: use the site's version."
        )
    return receipt


def numbers_sha256(numbers: AuditNumbers | EvaluationNumbers | None) -> str | None:
    """SHA-256 (hex) of what a site sent, as canonical JSON; None for what it withheld."""
    if numbers is None:
        return None
    return hashlib.sha256(canonical(numbers.model_dump(mode="json")).encode()).hexdigest()


def spans(rounds: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Rounds as spans, first and last included.

    >>> spans([3, 1, 2, 7])
    ((1, 3), (7, 7))
    """
    found: list[tuple[int, int]] = []
    for number in sorted(set(rounds)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def within(inner: Iterable[tuple[int, int]], outer: Iterable[tuple[int, int]]) -> bool:
    """Whether every round of one is in the other."""
    ends = list(outer)
    return all(any(a <= first and last <= b for a, b in ends) for first, last in inner)
