"""The decoder, fed with anything: a message or MessageError, and never two encodings of one message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedgen_privacy.secagg import MessageError, Phase
from fedgen_privacy.secagg.codec import MAX_SITES, Kind, Reader, header, listed
from fedgen_privacy.secagg.messages import (
    Advert,
    Confirmation,
    ConfirmRequest,
    Envelope,
    MaskRequest,
    Receipt,
    ShareReply,
    ShareRequest,
    UnmaskReply,
    UnmaskRequest,
)

DECODERS: dict[Kind, Any] = {
    Kind.ADVERT: Advert,
    Kind.SHARE_REQUEST: ShareRequest,
    Kind.ENVELOPE: Envelope,
    Kind.SHARE_REPLY: ShareReply,
    Kind.MASK_REQUEST: MaskRequest,
    Kind.RECEIPT: Receipt,
    Kind.CONFIRM_REQUEST: ConfirmRequest,
    Kind.CONFIRMATION: Confirmation,
    Kind.UNMASK_REQUEST: UnmaskRequest,
    Kind.UNMASK_REPLY: UnmaskReply,
}


@pytest.fixture(scope="session")
def real(drill: Any) -> dict[Kind, bytes]:
    """One message of each kind, from a session."""
    session = drill(3, threshold=2)
    session.until()
    asked = {phase: requests["site00"] for phase, requests in session.requests.items()}
    said = {phase: answers["site00"] for phase, answers in session.answers.items()}
    messages = {
        Kind.ADVERT: said[Phase.ADVERTISE],
        Kind.SHARE_REQUEST: asked[Phase.SHARE],
        Kind.ENVELOPE: ShareReply.decode(said[Phase.SHARE]).envelopes[0].encode(),
        Kind.SHARE_REPLY: said[Phase.SHARE],
        Kind.MASK_REQUEST: asked[Phase.MASK],
        Kind.RECEIPT: said[Phase.MASK],
        Kind.CONFIRM_REQUEST: asked[Phase.CONFIRM],
        Kind.CONFIRMATION: said[Phase.CONFIRM],
        Kind.UNMASK_REQUEST: asked[Phase.UNMASK],
        Kind.UNMASK_REPLY: said[Phase.UNMASK],
    }
    assert messages.keys() == set(Kind) == DECODERS.keys()
    return messages


def decodes(kind: Kind, data: Any) -> bool:
    """Whether the bytes are a message; anything raised but MessageError fails the test."""
    try:
        message = DECODERS[kind].decode(data)
    except MessageError as error:
        assert str(error).endswith(".")
        return False
    assert message.encode() == data
    return True


@settings(
    max_examples=settings.default.max_examples**2,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(
    kind=st.sampled_from(list(Kind)),
    place=st.floats(0, 1),
    cut=st.integers(0, 9),
    put=st.binary(max_size=9),
    ending=st.sampled_from(["kept", "dropped", "alone"]),
)
def test_damaged_messages_raise_the_typed_error_alone(
    real: dict[Kind, bytes], kind: Kind, place: float, cut: int, put: bytes, ending: str
) -> None:
    """Bytes replaced, inserted, removed anywhere in a real message, the rest cut off, or nothing real at all."""
    data = real[kind]
    at = int(place * len(data))
    damaged = data[:at] + put + (data[at + cut :] if ending == "kept" else b"")
    if ending == "alone":
        damaged = header(kind) + put * (at % 7 + 1)
    decodes(kind, damaged)
    # The kind says what may decode it: no other decoder takes the same bytes.
    other = list(Kind)[(kind + at) % len(Kind)]
    assert not decodes(other, damaged) or damaged[5] == other


@settings(
    max_examples=5 * settings.default.max_examples,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(kind=st.sampled_from(list(Kind)), data=st.binary(max_size=400))
def test_arbitrary_bytes_raise_the_typed_error_alone(kind: Kind, data: bytes) -> None:
    for message in (data, header(kind) + data):
        decodes(kind, message)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_truncation_and_every_extension_is_refused(real: dict[Kind, bytes], kind: Kind) -> None:
    data = real[kind]
    assert decodes(kind, data)
    assert not any(decodes(kind, data[:size]) for size in range(len(data)))
    assert not any(decodes(kind, data + bytes([byte])) for byte in (0, 1, 255))
    assert not decodes(kind, data + data)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("place", range(6))
def test_every_byte_of_the_header_matters(real: dict[Kind, bytes], kind: Kind, place: int) -> None:
    data = real[kind]
    for byte in range(256):
        damaged = data[:place] + bytes([byte]) + data[place + 1 :]
        assert decodes(kind, damaged) == (byte == data[place])


def test_no_kind_decodes_as_another(real: dict[Kind, bytes]) -> None:
    for kind, data in real.items():
        assert [other for other in Kind if decodes(other, data)] == [kind]


def test_a_message_of_another_version_says_so(real: dict[Kind, bytes]) -> None:
    with pytest.raises(MessageError, match=r"has version 2 .* not 1: both sides must run the same version"):
        Advert.decode(b"FGSA\x02" + real[Kind.ADVERT][5:])


@pytest.mark.parametrize("data", [None, "FGSA", 5, bytearray(b"FGSA"), memoryview(b"FGSA"), [70, 71]])
def test_what_is_not_bytes_is_refused(data: Any) -> None:
    for decoder in DECODERS.values():
        with pytest.raises(MessageError, match="must be bytes"):
            decoder.decode(data)


def test_lengths_that_ask_for_memory_are_refused_at_once(real: dict[Kind, bytes]) -> None:
    many = header(Kind.CONFIRM_REQUEST) + b"\xff\xff"
    with pytest.raises(MessageError, match="lists 65535 items, more than the 1024"):
        ConfirmRequest.decode(many)
    huge = header(Kind.CONFIRM_REQUEST) + b"\x00\x01\xff\xff\xff\xff" + real[Kind.RECEIPT]
    with pytest.raises(MessageError, match="cut off"):
        ConfirmRequest.decode(huge)
    full = header(Kind.CONFIRM_REQUEST) + listed([real[Kind.RECEIPT]] * (MAX_SITES + 1))
    with pytest.raises(MessageError, match="lists 1025 items"):
        ConfirmRequest.decode(full)
    assert decodes(
        Kind.CONFIRM_REQUEST, header(Kind.CONFIRM_REQUEST) + listed([real[Kind.RECEIPT]] * MAX_SITES)
    )


def test_a_site_number_beyond_any_roster_is_refused(real: dict[Kind, bytes]) -> None:
    data = real[Kind.RECEIPT]
    for number, fits in ((MAX_SITES - 1, True), (MAX_SITES, False), (2**16 - 1, False)):
        assert decodes(Kind.RECEIPT, data[:38] + number.to_bytes(2, "big") + data[40:]) is fits


def test_a_share_of_another_size_is_refused(real: dict[Kind, bytes]) -> None:
    start = header(Kind.UNMASK_REPLY) + bytes(32) + b"\0\0"
    for size in (0, 1, 2, 34, 36, 70):
        assert not decodes(Kind.UNMASK_REPLY, start + listed([bytes(size)]))
    assert decodes(Kind.UNMASK_REPLY, start + listed([bytes(35)]))


def test_an_item_with_bytes_behind_it_is_refused(real: dict[Kind, bytes]) -> None:
    assert not decodes(
        Kind.CONFIRM_REQUEST, header(Kind.CONFIRM_REQUEST) + listed([real[Kind.RECEIPT] + b"\0"])
    )
    with pytest.raises(MessageError, match="1 bytes too many"):
        read = Reader(header(Kind.RECEIPT) + b"\0", Kind.RECEIPT)
        read.end()
