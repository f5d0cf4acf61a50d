"""A request's signature is bound to the site, the method, the path, the body and the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import PrivacyRefusedError
from fedgen.protocol import signing
from fedgen.protocol.signing import SIGNATURE, SITE, TIME, sign_request, verify_request
from fedgen_privacy.secagg import Identity

NORTH, SOUTH = Identity.generate("north"), Identity.generate("south")
KEYS = {"north": NORTH.public_key, "south": SOUTH.public_key}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATH = "/fedgen/v1/studies"


def headers(now: datetime = NOW, **changes: str) -> dict[str, str]:
    return {**sign_request(NORTH, "GET", PATH, b"body", now), **changes}


@given(
    st.sampled_from(["GET", "POST"]),
    st.text(),
    st.binary(),
    st.floats(-300, 300),
    st.sampled_from([UTC, timezone(timedelta(hours=9))]),
)
def test_a_signed_request_is_its_sites(method, path, body, seconds, zone) -> None:
    signed = sign_request(NORTH, method, path, body, NOW.astimezone(zone))
    now = NOW + timedelta(seconds=seconds)
    assert verify_request(KEYS, signed, method, path, body, now) == "north"
    lower = {name.lower(): value for name, value in signed.items()}
    assert verify_request(KEYS, lower, method, path, body, now) == "north"


@given(st.sampled_from(["method", "path", "body"]), st.text(min_size=1, max_size=20))
def test_nothing_of_it_can_be_changed(part: str, value: str) -> None:
    request = {"method": "GET", "path": PATH, "body": b"body"}
    changed = {**request, part: value.encode() if part == "body" else value}
    if changed == request:
        return
    with pytest.raises(PrivacyRefusedError, match="not signed by a site"):
        verify_request(KEYS, headers(), now=NOW, **changed)


@pytest.mark.parametrize(
    "changes",
    [
        {SITE: "south"},
        {SITE: "nobody"},
        {TIME: (NOW + timedelta(seconds=1)).isoformat()},
        {TIME: NOW.isoformat().replace("+00:00", "Z")},
        {SIGNATURE: "00" * 64},
        {SIGNATURE: "not hex"},
        {SIGNATURE: ""},
    ],
)
def test_no_header_can_be_changed(changes: dict[str, str]) -> None:
    with pytest.raises(PrivacyRefusedError, match="not signed by a site"):
        verify_request(KEYS, headers(**changes), "GET", PATH, b"body", NOW)


@pytest.mark.parametrize("name", [SITE, TIME, SIGNATURE])
def test_every_header_is_needed(name: str) -> None:
    signed = {key: value for key, value in headers().items() if key != name}
    with pytest.raises(PrivacyRefusedError, match=name):
        verify_request(KEYS, signed, "GET", PATH, b"body", NOW)


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (timedelta(days=1), "86400 s ahead of"),
        (timedelta(days=-1), "86400 s behind"),
        (timedelta(seconds=301), "301 s ahead of"),
        (timedelta(seconds=-301), "301 s behind"),
    ],
)
def test_a_clock_outside_the_window_is_told_its_difference(offset: timedelta, words: str) -> None:
    with pytest.raises(PrivacyRefusedError, match=rf"^The clock of north is {words} .* 300 s .*\.$"):
        verify_request(KEYS, headers(NOW + offset), "GET", PATH, b"body", NOW)


@pytest.mark.parametrize("offset", [300, -300, 0])
def test_a_clock_at_the_edge_is_in_the_window(offset: int) -> None:
    signed = headers(NOW + timedelta(seconds=offset))
    assert verify_request(KEYS, signed, "GET", PATH, b"body", NOW) == "north"


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T12:00:00", ""])
def test_a_time_that_is_none_is_refused_even_if_signed(time: str) -> None:
    signature = NORTH.sign(signing._message("GET", PATH, time, b""))
    signed = {SITE: "north", TIME: time, SIGNATURE: signature.hex()}
    with pytest.raises(PrivacyRefusedError, match="ISO 8601"):
        verify_request(KEYS, signed, "GET", PATH, b"", NOW)
