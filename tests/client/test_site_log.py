"""The site log only grows, a line is whole JSON, and a torn line takes no other with it."""

from __future__ import annotations

import json
import threading
from datetime import datetime

import pytest

from fedgen.errors import DataError
from fedgen_client.site_log import SiteLog, sentence


@pytest.fixture
def log(tmp_path) -> SiteLog:
    return SiteLog(tmp_path / "site" / "log.jsonl")


def test_lines_are_json_and_only_appended(log) -> None:
    before = b""
    for number in range(5):
        log.write("sent", kind="train_masked", round=number, bytes=12, sha256="ab" * 32, epsilon=None)
        content = log.path.read_bytes()
        assert content.startswith(before)
        assert content.endswith(b"\n")
        before = content
    values = [json.loads(line) for line in before.splitlines()]
    assert [value["round"] for value in values] == list(range(5))
    assert all(datetime.fromisoformat(value["time"]).utcoffset() is not None for value in values)
    assert list(log.entries()) == values


def test_a_line_break_in_a_field_is_no_new_line(log) -> None:
    log.write("refused", reason='first\n{"event": "approved", "time": "now"}')
    (entry,) = log.entries()
    assert entry["event"] == "refused"


def test_writers_at_the_same_time_lose_nothing(log) -> None:
    def write(writer: int) -> None:
        for number in range(10):
            log.write("sent", writer=writer, number=number)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [(entry["writer"], entry["number"]) for entry in log.entries()]
    assert sorted(seen) == [(writer, number) for writer in range(4) for number in range(10)]


def test_a_torn_line_is_shown_and_takes_no_other_with_it(log) -> None:
    log.write("joined")
    with log.path.open("ab") as handle:
        handle.write(b'{"time": "2026-01-01", "ev')
    log.write("approved")
    assert [entry["event"] for entry in log.entries()] == ["joined", "damaged", "approved"]


@pytest.mark.parametrize("line", [b"[]", b"7", b"{}", b'{"event": 3, "time": "x"}', b"\xff", b"{"])
def test_a_strange_line_is_shown(log, line) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(line + b"\n")
    (entry,) = log.entries()
    assert (entry["event"], entry["line"]) == ("damaged", 1)
    assert "damaged" in sentence(entry)


def test_a_number_that_is_none_is_not_written(log) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.write("sent", epsilon=float("nan"))
    assert list(log.entries()) == []


def test_a_full_disk_is_one_sentence(log, monkeypatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    log.write("joined")
    before = log.path.read_bytes()
    monkeypatch.setattr("fedgen_privacy.durable.os.fsync", full)
    with pytest.raises(DataError, match=r"The disk is full while writing .*log\.jsonl"):
        log.write("sent")
    assert log.path.read_bytes() == before


def test_a_sentence_cannot_write_over_the_terminal() -> None:
    entry = {"time": "2026-01-02T03:04:05+00:00", "event": "refused", "reason": "\x1b[2J\nfake"}
    assert sentence(entry).isprintable()
    assert sentence({**entry, "sha256": "a" * 64, "study": None}).endswith("sha256 aaaaaaaaaaaa")
