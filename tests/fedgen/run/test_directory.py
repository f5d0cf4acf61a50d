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


def test_update_summary_merges(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    run.update_summary(status="running", seed=1)
    run.update_summary(status="done", rounds=2)
    assert run.read_json("run.json") == {"status": "done", "seed": 1, "rounds": 2}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_written(tmp_path, value) -> None:
    run = RunDirectory(tmp_path)
    run.update_summary(status="running")
    with pytest.raises(ValueError):
        run.update_summary(value=value)
    with pytest.raises(ValueError):
        run.event("round", loss=value)
    assert run.read_json("run.json") == {"status": "running"}
    assert not run.events.exists()


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


@given(
    fields=st.dictionaries(
        st.sampled_from(["reason", "losses", "sites", "stage"]),
        st.text(st.characters(exclude_categories=["Cs"]))
        | st.integers()
        | st.lists(st.text('a\n\r\u2028"', max_size=4)),
    ),
    round=st.none() | st.integers(1),
)
def test_events_are_lines_of_json(tmp_path_factory, fields, round) -> None:
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    run.event("round", site="north", round=round, **fields)
    run.event("done")
    first, second = run.events.read_text(encoding="utf-8").split("\n")[:-1]
    line = json.loads(first)
    assert (line["event"], line["site"], line["round"]) == ("round", "north", round)
    assert {name: line[name] for name in fields} == fields
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert json.loads(second)["round"] is None


def test_events_are_read_over_every_start(tmp_path) -> None:
    assert RunDirectory(tmp_path).read_events("dropout") == []
    RunDirectory(tmp_path).event("dropout", site="north", round=1, reason="it said: event round")
    RunDirectory(tmp_path).event("round", round=1)
    RunDirectory(tmp_path).event("dropout", site="north", round=2, reason='"event": "dropout"')
    with RunDirectory(tmp_path).events.open("a") as handle:
        handle.write('{"event": "round", "rou')
    assert [event["round"] for event in RunDirectory(tmp_path).read_events("dropout")] == [1, 2]
    assert [event["round"] for event in RunDirectory(tmp_path).read_events("round")] == [1]
    # What a crash left of a line takes no other with it.
    RunDirectory(tmp_path).event("round", round=2)
    assert [event["round"] for event in RunDirectory(tmp_path).read_events("round")] == [1, 2]


def test_nothing_is_computed_from_damaged_events(tmp_path) -> None:
    """What a round cost, or who missed it, may be in the line that is gone."""
    run = RunDirectory(tmp_path)
    run.event("asked", round=1)
    run.events.write_bytes(b"{\n" + run.events.read_bytes())
    with pytest.raises(DataError, match=r"events\.jsonl line 1 is damaged"):
        run.read_events("asked")


def test_an_event_that_cannot_be_written_is_an_error(tmp_path) -> None:
    (tmp_path / "gone").touch()
    with pytest.raises(DataError, match="Cannot write"):
        RunDirectory(tmp_path / "gone").event("done")
