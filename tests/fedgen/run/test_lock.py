"""The lock above the vault's: the sentence of whoever speaks, and nobody else's errors."""

from __future__ import annotations

import pytest

from fedgen.errors import DataError, ExitCode, LockedError
from fedgen.run.lock import held, is_held


def test_one_at_a_time(tmp_path) -> None:
    lock = tmp_path / "deep" / "lock"
    assert not is_held(lock)
    with held(lock):
        assert is_held(lock)
        with pytest.raises(
            LockedError, match=r"Another process has held .*lock for 0\.05 s: wait"
        ) as refused:
            held(lock, 0.05).__enter__()
        assert refused.value.exit_code is ExitCode.FEDERATION
        with (
            pytest.raises(LockedError, match=r"^Somebody is there\.$"),
            held(lock, 0.0, busy="Somebody is there."),
        ):
            pytest.fail("two held it")
    assert not is_held(lock)


def test_an_error_of_the_block_stays_what_it_is(tmp_path) -> None:
    with pytest.raises(OSError, match="of the block"), held(tmp_path / "lock"):
        raise OSError("of the block")
    with pytest.raises(LockedError, match="of the block"), held(tmp_path / "lock", busy="of the lock"):
        raise LockedError("of the block")
    assert not is_held(tmp_path / "lock")


def test_a_lock_that_cannot_be_made_is_a_sentence(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Cannot write"), held(tmp_path / "file" / "lock"):
        pytest.fail("held nothing")
