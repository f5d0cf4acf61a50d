"""The join token survives e-mail, and nothing but a whole token is one."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedgen.errors import StudyError
from fedgen.protocol.fields import NAME_PATTERN, split_address
from fedgen.protocol.invitation import PREFIX, Invitation, decode_invitation, encode_invitation

VALUES = {
    "address": "federation.example.org:8443",
    "site": "St. Mary's".replace("'", ""),
    "secret": "s" * 43,
    "ca_sha256": "ab" * 32,
    "expires": datetime(2026, 3, 1, 12, tzinfo=UTC),
}
INVITATIONS = st.builds(
    Invitation,
    address=st.sampled_from(["a:1", "10.0.0.1:65535", "[::1]:443", "a-b.c9.example:8443"]),
    site=st.from_regex(NAME_PATTERN.replace("$", r"\Z"), fullmatch=True),
    secret=st.text("abcXYZ019_-", min_size=32, max_size=128),
    ca_sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    expires=st.datetimes(timezones=st.just(UTC)),
)


@given(INVITATIONS)
def test_a_token_is_read_back(invitation: Invitation) -> None:
    token = encode_invitation(invitation)
    assert token.startswith(PREFIX) and token.split() == [token]
    assert decode_invitation(token) == invitation


@given(INVITATIONS, st.data())
def test_a_cut_token_is_refused(invitation: Invitation, data: st.DataObject) -> None:
    token = encode_invitation(invitation)
    length = data.draw(st.integers(0, len(token) - 2))
    with pytest.raises(StudyError, match="token"):
        decode_invitation(token[:length])


def test_line_breaks_of_a_mail_program_do_no_harm() -> None:
    invitation = Invitation(**VALUES)
    token = encode_invitation(invitation)
    assert decode_invitation(f"  {token[:40]}\r\n{token[40:]}\n") == invitation


def test_the_secret_is_not_shown() -> None:
    assert VALUES["secret"] not in repr(Invitation(**VALUES))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "hello",
        "fedgen2.abcd",
        PREFIX,
        PREFIX + "!!!",
        PREFIX + "é",
        PREFIX + base64.urlsafe_b64encode(b"[]").decode(),
        PREFIX + base64.urlsafe_b64encode(b"{" * 5000).decode(),
        PREFIX + base64.urlsafe_b64encode(json.dumps({**VALUES, "expires": "never"}).encode()).decode(),
    ],
)
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(StudyError, match=r"^This .*token.*: .*\.$"):
        decode_invitation(token)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("address", "federation.example.org"),
        ("address", "https://federation.example.org:1"),
        ("site", "../north"),
        ("site", "a" * 64),
        ("site", "north\n"),
        ("secret", "short"),
        ("ca_sha256", "AB" * 32),
        ("ca_sha256", "ab" * 31),
        ("expires", datetime(2026, 3, 1)),
        ("expires", datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=1)))),
        ("unknown", 1),
    ],
)
def test_what_no_invitation_says(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Invitation(**{**VALUES, key: value})


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("localhost:80", ("localhost", 80)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("[2001:db8::1]:8443", ("2001:db8::1", 8443)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address",
    [
        "",
        ":1",
        "a:",
        "a:0",
        "a:65536",
        "a:+1",
        "a:1 ",
        "a:１",
        "::1:80",
        "[::g]:1",
        "[1.2.3.4]:1",
        "1.2.3.400:1",
        "a b:1",
        "-a:1",
        "a_b:1",
        "a..b:1",
        "user@a:1",
        "a/b:1",
        "a\n:1",
        f"{'a' * 64}:1",
    ],
)
def test_no_addresses(address: str) -> None:
    with pytest.raises(ValueError):
        split_address(address)
