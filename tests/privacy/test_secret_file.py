"""A secret is written once, for its owner alone, whole or not at all."""

from __future__ import annotations

import os
import threading

import pytest

from fedgen_privacy.errors import DataError, PrivacyRefusedError
from fedgen_privacy.secagg.identity_file import IDENTITY_FILE, stored_identity
from fedgen_privacy.secret_file import make_secret, read_secret


def mode(path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_it_whatever_the_umask(tmp_path, mask) -> None:
    before = os.umask(mask)
    try:
        make_secret(tmp_path / "new" / "a.key", b"secret")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new" / "a.key") == 0o600
    assert read_secret(tmp_path / "new" / "a.key") == b"secret"


def test_it_is_never_written_over(tmp_path) -> None:
    make_secret(tmp_path / "a.key", b"first")
    with pytest.raises(FileExistsError):
        make_secret(tmp_path / "a.key", b"second")
    assert read_secret(tmp_path / "a.key") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedgen_privacy.durable.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        make_secret(tmp_path / "a.key", b"secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o620, 0o602, 0o666, 0o611])
def test_one_that_others_can_open_is_refused(tmp_path, wrong) -> None:
    make_secret(tmp_path / "a.key", b"secret")
    (tmp_path / "a.key").chmod(wrong)
    with pytest.raises(PrivacyRefusedError, match=r"a\.key can be read by others: run chmod 600"):
        read_secret(tmp_path / "a.key")


def test_processes_that_begin_together_have_one_identity(tmp_path) -> None:
    barrier = threading.Barrier(8)
    keys = []

    def begin() -> None:
        barrier.wait()
        keys.append(stored_identity(tmp_path, "north").public_key)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [IDENTITY_FILE]


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_damaged_identity_is_not_replaced(tmp_path, content) -> None:
    make_secret(tmp_path / IDENTITY_FILE, content)
    with pytest.raises(DataError, match="is damaged: restore it from its backup"):
        stored_identity(tmp_path, "north")
    assert (tmp_path / IDENTITY_FILE).read_bytes() == content
