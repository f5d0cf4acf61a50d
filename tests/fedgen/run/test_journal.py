"""The one journal: entries that were announced are read back, whatever ends the writer and however many there are."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import DataError, LockedError
from fedgen.run.journal import DAMAGED, Journal
from fedgen.run.lock import held

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = TEXTS | st.integers() | st.none() | st.lists(st.text('a\n\r\x85\u2028"\\', max_size=4), max_size=3)
FIELDS = st.dictionaries(st.sampled_from(["reason", "sites", "round", "losses"]), VALUES)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "deep" / "log.jsonl")


def events(journal: Journal) -> list[str]:
    return [entry["event"] for entry in journal.entries()]


@given(st.lists(st.lists(st.tuples(TEXTS, FIELDS), max_size=3), max_size=4))
def test_what_is_written_is_read_back_in_order(tmp_path_factory, batches) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "log.jsonl")
    before = b""
    for batch in batches:
        journal.write_all([{"event": event, **fields} for event, fields in batch])
        content = journal.path.read_bytes() if batch else before
        assert content.startswith(before)
        before = content
    written = [(event, fields) for batch in batches for event, fields in batch]
    read = list(journal.entries())
    assert [(e["event"], {k: v for k, v in e.items() if k not in ("event", "time")}) for e in read] == written
    assert all(datetime.fromisoformat(entry["time"]).utcoffset() is not None for entry in read)
    assert before.count(b"\n") == len(written)
    assert journal.whole() == read


def test_there_is_none_before_the_first_entry(journal) -> None:
    assert list(journal.entries()) == journal.whole() == []
    journal.write_all([])
    assert not journal.path.exists()


# Torn and damaged lines ---------------------------------------------------------------------------------------------


@given(st.data())
def test_a_journal_torn_at_any_byte_loses_only_what_was_never_announced(tmp_path_factory, data) -> None:
    """A crash cuts a write at some byte; what is written next stands alone, and nothing is damaged by it."""
    journal = Journal(tmp_path_factory.mktemp("journal") / "log.jsonl")
    count = data.draw(st.integers(0, 3), "entries before")
    for number in range(count):
        journal.write("before", number=number, text="é" * number)
    whole = journal.path.read_bytes() if count else b""
    journal.write_all([{"event": "torn", "number": 0}, {"event": "torn", "number": 1}])
    content = journal.path.read_bytes()
    cut = data.draw(st.integers(len(whole), len(content) - 1), "cut at")
    journal.path.write_bytes(content[:cut])

    kept = content[:cut].count(b"\n")
    assert len(journal.whole()) == kept
    assert journal.path.read_bytes() == content[:cut], "who only reads takes nothing away"
    journal.write("after")
    read = journal.whole()
    assert [entry["event"] for entry in read] == [*["before"] * count, *["torn"] * (kept - count), "after"]


def test_a_torn_line_longer_than_a_block_is_cut_off_too(journal) -> None:
    journal.write("before")
    with journal.path.open("ab") as handle:
        handle.write(b"x" * 200_000)
    journal.write("after")
    assert events(journal) == ["before", "after"]
    journal.path.write_bytes(b"y" * 200_000)
    journal.write("first")
    assert events(journal) == ["first"]


LINES = [b"[]", b"7", b"", b"{}", b'{"event": 3, "time": "x"}', b'{"event": "x"}', b"\xff", b"{", b"\0" * 40]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_line_is_shown_and_never_counted(journal, line, place) -> None:
    journal.write("first")
    journal.write("second")
    lines = journal.path.read_bytes().splitlines(keepends=True)
    lines.insert(place, line + b"\n")
    journal.path.write_bytes(b"".join(lines))
    journal.write("third")
    expected = ["first", "second", "third"]
    expected.insert(place, DAMAGED)
    assert events(journal) == expected
    assert [entry["line"] for entry in journal.entries() if entry["event"] == DAMAGED] == [place + 1]
    with pytest.raises(DataError, match=rf"log\.jsonl line {place + 1} is damaged.*restore the file"):
        journal.whole()


# Writers that fail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_write_that_fails_leaves_what_was_there(journal, monkeypatch, call) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    journal.write("before")
    before = journal.path.read_bytes()
    with (
        monkeypatch.context() as patch,
        pytest.raises(DataError, match=r"The disk is full while writing .*log"),
    ):
        if call == "fsync":
            patch.setattr("fedgen_privacy.durable.os.fsync", full)
        else:
            patch.setattr("fedgen_privacy.durable._finished", full)
        journal.write("during")
    assert journal.path.read_bytes() == before
    journal.write("after")
    assert events(journal) == ["before", "after"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_written(journal, number) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.write_all([{"event": "fine"}, {"event": "sent", "epsilon": number}])
    assert not journal.path.exists()


def test_an_entry_is_on_disk_and_so_is_the_files_name(journal, monkeypatch) -> None:
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        "os.fsync",
        lambda handle: (synced.append(Path(f"/proc/self/fd/{handle}").readlink().name), fsync(handle))[1],
    )
    journal.write("first")
    journal.write("second")
    assert synced == ["log.jsonl", "deep", "log.jsonl"]


WRITE = """
import sys
from pathlib import Path
from fedgen.run.journal import Journal
journal, name = Journal(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(10**9 if sys.argv[3] == "ever" else int(sys.argv[3])):
    journal.write_all([{"event": name, "number": 2 * number}, {"event": name, "number": 2 * number + 1}])
    print(number, flush=True)
"""


def writer(path: Path, name: str, count: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), name, count],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def numbers(journal: Journal, name: str) -> list[int]:
    return [entry["number"] for entry in journal.whole() if entry["event"] == name]


def test_processes_that_write_at_the_same_time_lose_nothing(journal) -> None:
    both = [writer(journal.path, name, "40") for name in ("a", "b")]
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0].count("\n") for process in both] == [40, 40]
    assert numbers(journal, "a") == numbers(journal, "b") == list(range(80))


def test_a_writer_that_is_killed_loses_nothing_that_it_announced(journal) -> None:
    for round in range(3):
        process = writer(journal.path, f"round {round}", "ever")
        process.stdin.write("\n")
        process.stdin.flush()
        announced = [process.stdout.readline() for _ in range(5 + round)]
        process.kill()
        rest = process.communicate()[0].splitlines()
        last = int([*announced, *rest][-1])
        found = numbers(journal, f"round {round}")
        assert found == list(range(len(found)))
        assert len(found) >= 2 * (last + 1)


def test_threads_that_write_at_the_same_time_lose_nothing(journal) -> None:
    def write(name: str) -> None:
        for number in range(10):
            journal.write(name, number=number)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(numbers(journal, name) == list(range(10)) for name in "abcd")


def test_a_writer_waits_no_longer_than_the_lock_does(journal, monkeypatch) -> None:
    import functools

    monkeypatch.setattr("fedgen.run.journal.held", functools.partial(held, wait=0.05))
    with held(journal.path), pytest.raises(LockedError, match=r"has held .*log\.jsonl"):
        journal.write("late")
    journal.write("now")
    assert events(journal) == ["now"]


# Readers ------------------------------------------------------------------------------------------------------------


def test_who_follows_sees_every_entry_once_and_no_torn_one(journal, monkeypatch) -> None:
    steps: Iterator[int] = itertools.count()

    def meanwhile(seconds: float) -> None:
        match next(steps):
            case 0:
                journal.write("first")
            case 1:
                with journal.path.open("ab") as handle:
                    handle.write(
                        b'{"event": "torn", "time": "a long time ago, and longer than what replaces it"'
                    )
            case 2:
                journal.write("second")
                journal.write("third")

    monkeypatch.setattr("fedgen.run.journal.time.sleep", meanwhile)
    assert [entry["event"] for entry in itertools.islice(journal.follow(), 3)] == ["first", "second", "third"]


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(DataError, match="Cannot read"):
        list(Journal(tmp_path / "log.jsonl").entries())
    with pytest.raises(DataError, match="Cannot write"):
        Journal(tmp_path / "log.jsonl").write("x")


def test_a_line_is_json_that_other_programs_read(journal) -> None:
    journal.write("refused", reason='first\n{"event": "approved", "time": "now"}')
    (line,) = journal.path.read_text(encoding="ascii").splitlines()
    assert json.loads(line)["event"] == "refused"
