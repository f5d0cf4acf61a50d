"""Tokens open what they say, until they end; cookies hold over a restart, and end with their token."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.dashboard.access import (
    SESSION,
    Keyring,
    Pass,
    bearer,
    cookie,
    form_secret,
    holder,
    is_form_secret,
    issue,
)

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
LATER = timedelta(seconds=1)


@pytest.fixture
def made() -> tuple[str, Pass, Keyring]:
    token, kept = issue("read", NOW, timedelta(days=2))
    return token, kept, Keyring(bytes(32), {kept.id: kept})


def test_a_token_opens_until_it_ends(made) -> None:
    token, kept, keys = made
    assert holder(keys, token, NOW) == kept
    assert holder(keys, token, kept.expires - LATER) == kept
    assert holder(keys, token, kept.expires) is None
    assert holder(Keyring(keys.key, {}), token, NOW) is None


def test_what_is_kept_does_not_open(made) -> None:
    token, kept, keys = made
    assert token.split("_", 2)[2] not in kept.model_dump_json()
    assert holder(keys, f"fgp_{kept.id}_{kept.secret_sha256[:43]}", NOW) is None


@given(st.text(max_size=80))
def test_nothing_else_is_a_token_or_a_cookie(text: str) -> None:
    _, kept = issue("operate", NOW, timedelta(days=2))
    keys = Keyring(bytes(32), {kept.id: kept})
    for given_text in (text, f"fgp_{kept.id}_{text}", f"{kept.id}.9999999999.{text}"):
        assert holder(keys, given_text, NOW) is None
        assert bearer(keys, given_text, NOW) is None
        assert not is_form_secret(keys, "cookie", given_text)


def test_a_cookie_holds_for_a_session_and_no_longer_than_its_token(made) -> None:
    _, kept, keys = made
    value, seconds = cookie(keys, kept, NOW)
    assert timedelta(seconds=seconds) == SESSION
    # Another process, with the same file.
    assert bearer(Keyring(keys.key, dict(keys.passes)), value, NOW + SESSION - LATER) == kept
    assert bearer(keys, value, NOW + SESSION) is None
    assert cookie(keys, kept, kept.expires - timedelta(minutes=1))[1] == 60


def test_a_cookie_ends_with_its_token_and_is_no_other_ones(made) -> None:
    _, kept, keys = made
    value, _ = cookie(keys, kept, NOW)
    _, other = issue("operate", NOW, timedelta(days=2))
    assert bearer(Keyring(keys.key, {other.id: other}), value, NOW) is None
    # Nor does it open anything for a new token of the same id.
    again = other.model_copy(update={"id": kept.id})
    assert bearer(Keyring(keys.key, {kept.id: again}), value, NOW) is None
    assert bearer(dataclasses.replace(keys, key=bytes(31) + b"1"), value, NOW) is None


def test_a_later_end_is_not_believed(made) -> None:
    _, kept, keys = made
    id, end, own, mac = cookie(keys, kept, NOW)[0].split(".")
    assert bearer(keys, f"{id}.{int(end) + 1}.{own}.{mac}", NOW) is None
    assert bearer(keys, f"{id}.{end}.{own[::-1]}.{mac}", NOW) is None
    assert bearer(keys, f"{id}.{end}.{own}.{mac}", NOW) == kept


def test_a_form_is_of_one_cookie(made) -> None:
    _, _, keys = made
    assert is_form_secret(keys, "a", form_secret(keys, "a"))
    assert not is_form_secret(keys, "b", form_secret(keys, "a"))
    assert not is_form_secret(keys, "a", "\u00e9")
