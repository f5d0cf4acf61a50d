"""The one writer: whole files or none, on disk, whatever ends the process that writes."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import DataError
from fedgen.run.atomic import unreadable, unwritable, write_atomic, write_json
from fedgen.run.hints import Hints, speak_as

#: Every call by which the writer changes a disk, in no order.
CALLS = ("tempfile.mkstemp", "os.fdopen", "os.fsync", "pathlib.Path.replace", "os.open")


class KilledError(BaseException):
    """Nothing of the process runs after it."""


@contextmanager
def killed_at(patch: pytest.MonkeyPatch, moment: int) -> Iterator[list[str]]:
    """The process is gone at the `moment`-th of its calls, before it is made; yields the names of those made."""
    made: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if len(made) >= moment:
                raise KilledError
            made.append(name)
            return real(*arguments, **named)

        return call

    import tempfile

    real = (tempfile.mkstemp, os.fdopen, os.fsync, Path.replace, os.open)
    for name, function in zip(CALLS, real, strict=True):
        patch.setattr(name, counted(name, function))
    # What a process that is killed does not do any more.
    patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    yield made


@pytest.mark.parametrize("before", [None, b"old" * 1000])
def test_killed_between_any_two_calls_it_leaves_the_old_file_or_the_new(
    tmp_path, monkeypatch, before
) -> None:
    seen = []
    for moment in range(20):
        path = tmp_path / str(moment) / "file"
        path.parent.mkdir()
        if before is not None:
            path.write_bytes(before)
        with monkeypatch.context() as patch:
            try:
                with killed_at(patch, moment) as made:
                    write_atomic(path, b"new" * 2000)
            except KilledError:
                finished = False
            else:
                finished = True
        found = path.read_bytes() if path.exists() else None
        assert found in (before, b"new" * 2000)
        seen.append(found)
        if finished:
            assert found == b"new" * 2000
            break
        # Whatever lies beside it disturbs no later write.
        write_atomic(path, b"later")
        assert path.read_bytes() == b"later"
    else:
        pytest.fail("the writer never finished")
    assert set(seen) == {before, b"new" * 2000}
    assert made.count("os.fsync") == 2


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_the_last_content_is_read_back(tmp_path_factory, contents) -> None:
    path = tmp_path_factory.mktemp("file") / "deep" / "er" / "file"
    for content in contents:
        write_atomic(path, content)
    assert path.read_bytes() == contents[-1]
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_of_writers_at_the_same_time_one_wins_whole(tmp_path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(6)]
    barrier = threading.Barrier(len(contents))

    def write(content: bytes) -> None:
        barrier.wait()
        for _ in range(5):
            write_atomic(tmp_path / "file", content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "file").exists():
            assert (tmp_path / "file").read_bytes() in contents
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["pathlib.Path.replace", "os.fsync"])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "broken"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()]
)
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call, error) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_):
        raise error

    with (
        monkeypatch.context() as patch,
        pytest.raises(DataError if isinstance(error, OSError) else type(error)),
    ):
        patch.setattr(call, fail)
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_content_and_name_are_on_disk_before_the_call_returns(tmp_path, monkeypatch) -> None:
    """A file's own fsync does not keep its new name over a power failure; its folder's does."""
    done = []
    replace, fsync = Path.replace, os.fsync
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda self, target: (done.append("name"), replace(self, target))[1]
    )
    monkeypatch.setattr(
        "os.fsync",
        lambda handle: (
            done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"),
            fsync(handle),
        ),
    )
    write_atomic(tmp_path / "file", b"x")
    assert done == ["file", "name", "folder"]


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_only_its_owner_can_read_it_whatever_the_umask(tmp_path, mask) -> None:
    """The coordinator's key and the hospitals' patients are written by it."""
    (tmp_path / "file").touch(mode=0o666)
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_json_is_written_whole_or_not_at_all(tmp_path) -> None:
    write_json(tmp_path / "a.json", {"name": "Köln", "value": 0.1})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "Köln", "value": 0.1}
    assert "Köln" in text
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            write_json(tmp_path / "a.json", {"value": number})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == text


def test_a_full_disk_is_one_sentence_with_the_programs_next_step() -> None:
    full, denied = OSError(errno.ENOSPC, "No space left"), OSError(errno.EACCES, "Permission denied")
    assert str(unwritable(Path("a/b"), full)) == (
        "The disk is full while writing a/b: free some space and start it again."
    )
    assert str(unwritable(Path("a/b"), denied)) == (
        "Cannot write a/b (Permission denied): give this user the right to."
    )
    speak_as(Hints(again="go on so", elsewhere="go elsewhere"))
    assert str(unwritable(Path("a/b"), full)).endswith(": free some space and go on so.")
    assert str(unwritable(Path("a/b"), denied)).endswith("(Permission denied): go elsewhere.")
    assert str(unreadable(Path("a/b"), denied)) == "Cannot read a/b (Permission denied): go elsewhere."


def test_a_folder_that_is_a_file_is_an_error(tmp_path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(DataError, match="Cannot write"):
        write_atomic(tmp_path / "runs" / "file", b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_an_error(tmp_path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="Permission denied"):
        write_atomic(tmp_path / "file", b"x")
