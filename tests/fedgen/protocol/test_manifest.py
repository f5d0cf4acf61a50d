"""A signed manifest is opened as it was signed, and refused with any one byte changed."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen.protocol.manifest import (
    Manifest,
    SignedManifest,
    decode_signed,
    encode_signed,
    manifest_of,
    manifest_sha256,
    open_manifest,
    sign_manifest,
)
from fedgen.schema.canonical import canonical
from fedgen.study.load import load_study
from fedgen.study.show import study_hash
from fedgen_privacy.secagg import Identity

COORDINATOR = Identity.generate("coordinator")
STUDY = load_study("demo")
ROSTER = {name: Identity.generate(name).public_key for name in ("north", "south", "St. Mary")}
MANIFEST = manifest_of("Lung net", STUDY, ROSTER, datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC))
SIGNED = sign_manifest(MANIFEST, COORDINATOR)
FILE = encode_signed(SIGNED)


def signed(**changes: object) -> SignedManifest:
    """A manifest that says something else, truly signed by the coordinator."""
    values = {**MANIFEST.model_dump(mode="json"), **changes}
    text = canonical(values)
    return SignedManifest(text=text, signature=COORDINATOR.sign(b"fedgen-manifest/1\n" + text.encode()).hex())


def test_it_is_opened_as_it_was_signed() -> None:
    manifest = open_manifest(decode_signed(FILE), COORDINATOR.public_key)
    assert manifest == MANIFEST
    assert manifest.to_study() == STUDY
    assert manifest.study_sha256 == study_hash(STUDY)
    assert dict(zip(manifest.to_roster().sites, manifest.to_roster().keys, strict=True)) == ROSTER


def test_its_hash_is_that_of_its_text() -> None:
    assert manifest_sha256(SIGNED) == hashlib.sha256(SIGNED.text.encode()).hexdigest()
    assert manifest_sha256(signed(federation="Other")) != manifest_sha256(SIGNED)


@given(place=st.integers(0, len(FILE) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_is_refused(place: int, byte: int) -> None:
    changed = FILE[:place] + bytes([byte]) + FILE[place + 1 :]
    if changed == FILE:
        return
    with pytest.raises(PrivacyRefusedError, match=r"^[^.]*manifest.*\.$"):
        open_manifest(decode_signed(changed), COORDINATOR.public_key)


@given(place=st.integers(0, len(SIGNED.text) - 1), character=st.characters(exclude_categories=("Cs",)))
def test_one_changed_character_of_the_text_is_refused(place: int, character: str) -> None:
    text = SIGNED.text[:place] + character + SIGNED.text[place + 1 :]
    if text == SIGNED.text:
        return
    with pytest.raises(PrivacyRefusedError, match="not signed"):
        open_manifest(SignedManifest(text=text, signature=SIGNED.signature), COORDINATOR.public_key)


@given(place=st.integers(0, 127), digit=st.sampled_from("0123456789abcdef"))
def test_one_changed_digit_of_the_signature_is_refused(place: int, digit: str) -> None:
    signature = SIGNED.signature[:place] + digit + SIGNED.signature[place + 1 :]
    if signature == SIGNED.signature:
        return
    with pytest.raises(PrivacyRefusedError, match="not signed"):
        open_manifest(SignedManifest(text=SIGNED.text, signature=signature), COORDINATOR.public_key)


@pytest.mark.parametrize("change", [b" ", b"\n", b"", b"{}", b"\xff"])
def test_a_file_that_reads_alike_is_refused(change: bytes) -> None:
    with pytest.raises(PrivacyRefusedError, match="damaged"):
        decode_signed(FILE + change if change.isspace() else change)


@pytest.mark.parametrize(
    "key", [Identity.generate("other").public_key, b"", b"\0" * 31], ids=["other", "none", "short"]
)
def test_another_coordinator_is_refused(key: bytes) -> None:
    with pytest.raises(PrivacyRefusedError, match="not signed"):
        open_manifest(SIGNED, key)


def test_a_signature_made_for_something_else_is_refused() -> None:
    signature = COORDINATOR.sign(SIGNED.text.encode()).hex()
    with pytest.raises(PrivacyRefusedError, match="not signed"):
        open_manifest(SignedManifest(text=SIGNED.text, signature=signature), COORDINATOR.public_key)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version"),
        ({"study": {**MANIFEST.study, "later": {}}}, "later"),
        ({"study": {}}, "study"),
        ({"study_sha256": "0" * 64}, "differently"),
        (
            {"study": {**MANIFEST.study, "training": {**MANIFEST.study["training"], "rounds": 99}}},
            "differently",
        ),
        ({"study": {k: v for k, v in MANIFEST.study.items() if k != "audit"}}, "differently"),
        ({"roster": {}}, "roster"),
        ({"roster": {"north": "0" * 64, "south": "0" * 64}}, "same key"),
        ({"roster": {"../north": "0" * 64}}, "roster"),
        ({"created": "2026-03-01T12:00:00"}, "created"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_even_the_coordinator_cannot_ask_for_what_this_version_does_not_know(changes, reason) -> None:
    with pytest.raises(PrivacyRefusedError, match=reason) as error:
        open_manifest(signed(**changes), COORDINATOR.public_key)
    assert "\n" not in str(error.value)


def test_signing_is_of_the_whole() -> None:
    assert json.loads(SIGNED.text) == MANIFEST.model_dump(mode="json")
    assert Manifest.model_validate_json(SIGNED.text) == MANIFEST


def test_a_roster_with_one_key_twice_is_not_signed() -> None:
    with pytest.raises(StudyError, match="same key"):
        manifest_of("x", STUDY, {"a": b"\1" * 32, "b": b"\1" * 32}, datetime.now(UTC))
