"""A receipt says what a site signed and nothing else; whatever is changed in it is found."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedgen.errors import PrivacyRefusedError
from fedgen.protocol.receipt import (
    SignedReceipt,
    SiteReceipt,
    Withdrawn,
    numbers_sha256,
    open_receipt,
    sign_receipt,
    spans,
    within,
)
from fedgen.run.evidence_files import EvaluationNumbers
from fedgen.run.row import Row
from fedgen_privacy.secagg import Identity

NORTH = Identity.from_private_bytes("north", bytes(32))
RECEIPT = SiteReceipt(
    site="north",
    study_sha256="a" * 64,
    model_sha256="b" * 64,
    release_sha256=None,
    question_sha256="c" * 64,
    rounds=((1, 3), (5, 5)),
    epsilon=2.5,
    delta=1e-5,
    audit_sha256=None,
    evaluation_sha256="d" * 64,
    withdrawn=(Withdrawn(after_round=3, patients=2),),
)


def test_what_was_signed_is_what_is_read() -> None:
    signed = sign_receipt(RECEIPT, NORTH)
    assert open_receipt(signed, NORTH.public_key) == RECEIPT
    # Without a time: the same facts have the same bytes.
    assert sign_receipt(RECEIPT, NORTH) == signed


@given(st.integers(0, 10**6), st.integers(1, 127))
def test_one_other_letter_is_found(at: int, other: int) -> None:
    signed = sign_receipt(RECEIPT, NORTH)
    text = signed.text
    at %= len(text)
    changed = text[:at] + chr(ord(text[at]) ^ other) + text[at + 1 :]
    with pytest.raises(PrivacyRefusedError, match="not signed by its site"):
        open_receipt(SignedReceipt(text=changed, signature=signed.signature), NORTH.public_key)


def test_another_key_signs_for_nobody_else() -> None:
    south = Identity.generate("south")
    with pytest.raises(PrivacyRefusedError, match="not signed by its site"):
        open_receipt(sign_receipt(RECEIPT, south), NORTH.public_key)
    with pytest.raises(PrivacyRefusedError, match="not signed by its site"):
        open_receipt(sign_receipt(RECEIPT, NORTH), bytes(31))


def test_a_manifests_signature_is_no_receipts() -> None:
    text = sign_receipt(RECEIPT, NORTH).text
    signature = NORTH.sign(b"fedgen-manifest/1\n" + text.encode()).hex()
    with pytest.raises(PrivacyRefusedError, match="not signed by its site"):
        open_receipt(SignedReceipt(text=text, signature=signature), NORTH.public_key)


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"version":2}'])
def test_a_signed_text_of_another_form_is_refused(text: str) -> None:
    signature = NORTH.sign(b"fedgen-receipt/1\n" + text.encode()).hex()
    with pytest.raises(PrivacyRefusedError, match="of a form that this version"):
        open_receipt(SignedReceipt(text=text, signature=signature), NORTH.public_key)


def test_a_text_that_reads_alike_is_not_the_same() -> None:
    """One receipt has one text, or a patient's count could hide in its white space."""
    text = json.dumps(json.loads(sign_receipt(RECEIPT, NORTH).text), indent=1)
    signature = NORTH.sign(b"fedgen-receipt/1\n" + text.encode()).hex()
    with pytest.raises(PrivacyRefusedError, match="of a form that this version"):
        open_receipt(SignedReceipt(text=text, signature=signature), NORTH.public_key)


@pytest.mark.parametrize(
    "change",
    [
        {"rounds": ((3, 1),)}, {"rounds": ((5, 6), (1, 2))}, {"rounds": ((0, 1),)}, {"epsilon": None},
        {"delta": None}, {"epsilon": -1.0}, {"site": ""}, {"withdrawn": (("p-123", 1),)}, {"study_sha256": "a"},
    ],
)  # fmt: skip
def test_what_no_site_can_mean(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SiteReceipt(**{**dict(RECEIPT), **change})  # type: ignore[arg-type]


@given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
def test_spans_hold_the_rounds_and_no_other(one: set[int], other: set[int]) -> None:
    found = spans(one)
    assert {n for a, b in found for n in range(a, b + 1)} == one
    assert within(found, spans(other)) == (one <= other)


def test_the_hash_of_numbers_is_of_all_of_them() -> None:
    numbers = EvaluationNumbers(n={}, rows=(Row(id="a", title="A", group="g"),), limits=(), seed=1)
    assert numbers_sha256(None) is None
    assert numbers_sha256(numbers) != numbers_sha256(numbers.model_copy(update={"seed": 2}))
