"""The run directory: folders never shared, files and lines a program can read."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedgen.errors import DataError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Done, Dropout, RoundDone
from fedgen.run.version import VERSION

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_folder_that_is_a_file_is_an_error(tmp_path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(DataError, match="Cannot write"):
        RunDirectory.create(tmp_path / "runs", "demo")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_an_error(tmp_path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="Permission denied"):
        RunDirectory.create(tmp_path, "demo")


def test_create_never_reuses_a_folder(tmp_path) -> None:
    paths = [RunDirectory.create(tmp_path, "demo", now=NOW).path for _ in range(4)]
    assert paths[0].name == "demo-20260102T030405Z"
    assert len(set(paths)) == 4
    assert all(path.is_dir() and not any(path.iterdir()) for path in paths)


def test_create_gives_up_after_a_hundred(tmp_path) -> None:
    for _ in range(100):
        RunDirectory.create(tmp_path, "demo", now=NOW)
    with pytest.raises(DataError, match="a hundred"):
        RunDirectory.create(tmp_path, "demo", now=NOW)


@settings(max_examples=300)
@given(st.text(max_size=100))
@example("..")
@example(".")
@example("")
@example("a/b")
@example("Köln, Süd")
@example("north\n")
@example("x" * 300)
def test_a_sites_folder_is_a_safe_name_right_under_sites(name) -> None:
    run = RunDirectory(Path("run"))
    folder = run.site(name)
    assert folder.parent == run.sites
    assert folder.name not in ("", ".", "..")
    assert len(folder.name) <= 80
    assert set(folder.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert run.site(name) == folder


@given(st.sets(st.text("aA/. -", max_size=6), min_size=2, max_size=20))
def test_two_sites_never_share_a_folder(names) -> None:
    run = RunDirectory(Path("run"))
    # ... not even a site that is named like another one's folder
    names = names | {run.site(name).name for name in names}
    assert len({run.site(name) for name in names}) == len(names)


def test_a_plain_name_stays_readable() -> None:
    run = RunDirectory(Path("run"))
    assert run.site("North_2-a").name == "North_2-a"
    assert run.site("Köln Süd").name.startswith("K-ln-S-d-")


def test_an_event_with_a_number_that_is_none_is_not_written(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            run.write_json("a.json", {"value": value})
        with pytest.raises(ValueError):
            run.event(RoundDone(round=1, losses={}, epsilon=value, sites=(), seconds=1.0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[1]", "null", "\xff"])
def test_a_damaged_file_says_which_stage_to_run_again(tmp_path, text) -> None:
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"run\.json is damaged"):
        RunDirectory(tmp_path).read_json("run.json")


def test_a_file_that_cannot_be_read_says_so(tmp_path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(DataError, match=r"Cannot read .*run\.json"):
        RunDirectory(tmp_path).read_json("run.json")


def test_a_missing_file_says_so(tmp_path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        RunDirectory(tmp_path).read_json("audit.json")


SENTENCES = st.text(st.characters(exclude_categories=["Cs"]))


@given(reason=SENTENCES, site=SENTENCES, round=st.integers(1))
def test_events_are_lines_of_json_and_read_back_as_they_were(tmp_path_factory, reason, site, round) -> None:
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    run.event(Dropout(site=site, round=round, reason=reason))
    run.event(Done())
    first, second = run.events.read_text(encoding="utf-8").split("\n")[:-1]
    line = json.loads(first)
    assert (line["event"], line["version"]) == ("dropout", VERSION)
    assert (line["site"], line["round"], line["reason"]) == (site, round, reason)
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert json.loads(second)["round"] is None
    (dropout,) = run.read_events(Dropout)
    assert (dropout.site, dropout.round, dropout.reason) == (site, round, reason)
    assert dropout.time == line["time"]


def done(round: int) -> RoundDone:
    return RoundDone(round=round, losses={}, epsilon=None, sites=("north",), seconds=1.0)


def test_events_are_read_over_every_start(tmp_path) -> None:
    assert RunDirectory(tmp_path).read_events(Dropout) == []
    RunDirectory(tmp_path).event(Dropout(site="north", round=1, reason="it said: event round"))
    RunDirectory(tmp_path).event(done(1))
    RunDirectory(tmp_path).event(Dropout(site="north", round=2, reason='"event": "dropout"'))
    with RunDirectory(tmp_path).events.open("a") as handle:
        handle.write('{"event": "round", "rou')
    assert [event.round for event in RunDirectory(tmp_path).read_events(Dropout)] == [1, 2]
    assert [event.round for event in RunDirectory(tmp_path).read_events(RoundDone)] == [1]
    # What a crash left of a line takes no other with it.
    RunDirectory(tmp_path).event(done(2))
    assert [event.round for event in RunDirectory(tmp_path).read_events(RoundDone)] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"time": "t", "event": "nothing we know", "version": 2}',
        b'{"time": "t", "event": "round", "version": 2, "round": 1}',
        b'{"time": "t", "event": "done", "version": 2, "more": 1}',
    ],
)
def test_nothing_is_computed_from_damaged_events(tmp_path, line) -> None:
    """What a round cost, or who missed it, may be in the line that is gone."""
    run = RunDirectory(tmp_path)
    run.event(done(1))
    run.events.write_bytes(line + b"\n" + run.events.read_bytes())
    with pytest.raises(DataError, match=r"events\.jsonl line 1 is damaged"):
        run.read_events(RoundDone)
    # Who only shows them shows the others.
    assert [event.event for event in run.events_so_far()] == ["damaged", "round"]


def test_events_of_another_version_are_refused(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    run.events.write_text('{"time": "t", "event": "round", "site": null, "round": 1}\n')
    with pytest.raises(DataError, match=r"events\.jsonl has the form of a version before 2.*start a new run"):
        run.read_events(RoundDone)


def test_an_event_that_cannot_be_written_is_an_error(tmp_path) -> None:
    (tmp_path / "gone").touch()
    with pytest.raises(DataError, match="Cannot write"):
        RunDirectory(tmp_path / "gone").event(Done())
