"""The site log as a person reads it."""

from __future__ import annotations

import re
from pathlib import Path

import fedgen_client
from fedgen.errors import DataError
from fedgen.run.journal import Journal
from fedgen_client.site_log import fingerprint, sentence


def test_what_is_written_of_a_message_says_which_it_was(tmp_path) -> None:
    log = Journal(tmp_path / "log.jsonl")
    log.write("sent", kind="train_masked", round=3, epsilon=None, **fingerprint(b"message"))
    (entry,) = log.entries()
    assert entry["bytes"] == 7
    assert (
        sentence(entry)[21:]
        == f"sent      kind train_masked, round 3, bytes 7, sha256 {entry['sha256'][:12]}"
    )


def test_a_damaged_line_is_shown(tmp_path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"{\n")
    (entry,) = Journal(tmp_path / "log.jsonl").entries()
    assert "damaged" in sentence(entry) and "line 1" in sentence(entry)


def test_a_sentence_cannot_write_over_the_terminal() -> None:
    entry = {"time": "2026-01-02T03:04:05+00:00", "event": "refused", "reason": "\x1b[2J\nfake"}
    assert sentence(entry).isprintable()
    assert sentence({**entry, "sha256": "a" * 64, "study": None}).endswith("sha256 aaaaaaaaaaaa")


def test_a_log_that_was_changed_ends_the_command_with_4(command, member) -> None:
    assert command("log", folder=member).exit_code == 0
    member.log.write_text(member.log.read_text().replace("lungs", "lung5"))
    told = command("log", folder=member)
    assert isinstance(told.exception, DataError)
    assert "is not what was written from line 2 on" in str(told.exception)
    assert "joined    federation lung5" in told.output, "what there is is shown all the same"


def test_every_writer_of_the_log_keeps_its_chain() -> None:
    """By the folder's journal: a line of a plain one would look like somebody's change."""
    sources = Path(fedgen_client.__file__).parent.rglob("*.py")
    plain = [path.name for path in sources if re.search(r"(?<!Chained)Journal\(", path.read_text("utf-8"))]
    assert plain == []
