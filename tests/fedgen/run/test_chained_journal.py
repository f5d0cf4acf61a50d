"""What was done to a chained journal is seen, and it goes on all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.run.chained_journal import GENESIS, ChainedJournal
from fedgen.run.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> ChainedJournal:
    """Five lines, of three writings."""
    made = ChainedJournal(tmp_path / "log.jsonl")
    made.write("joined", federation="lungs")
    made.write_all([{"event": "received", "bytes": 3}, {"event": "sent", "bytes": 4, "epsilon": 1.25}])
    made.write_all(
        [{"event": "refused", "reason": 'said "no", and \u2028 more'}, {"event": "sent", "bytes": 5}]
    )
    return made


def test_what_is_written_is_verified(journal) -> None:
    found = journal.verify()
    assert (found.lines, found.broken) == (5, None)
    assert json.loads(journal.head.read_text()) == {"lines": 5, "chain": found.chain}
    assert [entry["event"] for entry in journal.entries()] == [
        "joined",
        "received",
        "sent",
        "refused",
        "sent",
    ]
    assert [entry["chain"] for entry in journal.entries()][-1] == found.chain


def test_nothing_written_is_nothing_broken(tmp_path) -> None:
    found = ChainedJournal(tmp_path / "log.jsonl").verify()
    assert (found.lines, found.chain, found.broken) == (0, GENESIS, None)


def lines_of(journal: ChainedJournal) -> list[str]:
    return journal.path.read_text().splitlines(keepends=True)


def changed(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].replace('"bytes": 3', '"bytes": 2'), *lines[2:]]


def moved(lines: list[str]) -> list[str]:
    return [lines[1], lines[0], *lines[2:]]


def removed(lines: list[str]) -> list[str]:
    return [lines[0], *lines[2:]]


def cut_off(lines: list[str]) -> list[str]:
    return lines[:-1]


def emptied(lines: list[str]) -> list[str]:
    return []


def inserted(lines: list[str]) -> list[str]:
    return [lines[0], lines[0], *lines[1:]]


def unchained(lines: list[str]) -> list[str]:
    return [*lines[:-1], '{"time": "2026-01-02T03:04:05+00:00", "event": "sent"}\n']


def spoilt(lines: list[str]) -> list[str]:
    return [*lines[:2], "\x00\x01 nothing\n", *lines[3:]]


DONE = [changed, moved, removed, cut_off, emptied, inserted, unchained, spoilt]


@pytest.mark.parametrize("do", DONE)
def test_what_was_done_is_seen_and_stays_seen(journal, do: Callable[[list[str]], list[str]]) -> None:
    journal.path.write_text("".join(do(lines_of(journal))))
    assert journal.verify().broken is not None
    journal.write("connected")
    journal.write("sent", bytes=1)
    assert journal.verify().broken is not None, "a line more must not heal it"
    assert [entry["event"] for entry in journal.entries()][-2:] == ["connected", "sent"], "the log goes on"


def test_a_head_that_is_gone_or_damaged_is_seen(journal) -> None:
    content = journal.head.read_text()
    for damage in ("", "{}", '{"lines": -1, "chain": "x"}', "[]", '{"lines": 900, "chain": "x"}'):
        journal.head.write_text(damage)
        assert journal.verify().broken is not None, damage
    journal.head.unlink()
    broken = journal.verify().broken
    assert broken is not None and "log.jsonl.head" in broken
    journal.write("connected")
    assert journal.verify().broken is not None
    journal.head.write_text(content)
    assert journal.verify().broken is None, "from its backup"


def test_a_plain_writer_breaks_it(journal) -> None:
    Journal(journal.path).write("sent", bytes=9)
    assert journal.verify().broken == "is not what was written from line 6 on"


def test_a_crash_before_the_head_or_in_a_line_is_no_damage(journal) -> None:
    before = journal.head.read_text()
    journal.write("connected")
    journal.head.write_text(before)
    assert journal.verify().broken is None, "the head is behind, never ahead"
    journal.write("sent", bytes=6)
    assert json.loads(journal.head.read_text())["lines"] == 7
    with journal.path.open("a") as handle:
        handle.write('{"time": "half a li')
    assert journal.verify().broken is None
    journal.write("sent", bytes=7)
    found = journal.verify()
    assert (found.lines, found.broken) == (8, None)


def test_two_heads_put_back_together_are_not_seen(journal, tmp_path) -> None:
    """What no file in the folder can show: it is said in the documentation, and here."""
    line, head = journal.path.read_text(), journal.head.read_text()
    journal.write("sent", bytes=6)
    journal.path.write_text(line)
    journal.head.write_text(head)
    assert journal.verify().broken is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(min_size=1, max_size=8).filter(lambda key: key not in ("event", "time", "chain")),
            st.none()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=40),
            max_size=4,
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 10**6),
    st.integers(1, 255),
)
def test_one_byte_that_changed_is_seen(tmp_path_factory, entries, place, change) -> None:
    journal = ChainedJournal(tmp_path_factory.mktemp("log") / "log.jsonl")
    for fields in entries:
        journal.write_all([{**fields, "event": "sent"}])
    assert journal.verify().broken is None
    content = bytearray(journal.path.read_bytes())
    content[place % len(content)] ^= change
    journal.path.write_bytes(bytes(content))
    assert journal.verify().broken is not None


def test_a_line_longer_than_a_block_is_found_again(tmp_path) -> None:
    journal = ChainedJournal(tmp_path / "log.jsonl")
    for size in (10, 2**16 - 40, 2**17, 3):
        journal.write("sent", reason="x" * size)
    assert journal.verify().broken is None
