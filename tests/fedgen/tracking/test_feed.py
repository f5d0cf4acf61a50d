"""What a tracker is told of a run: all of it, once, and nothing of a patient."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedgen.errors import DataError
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Previewed, RoundDone
from fedgen.run.preview_file import preview_path
from fedgen.run.row import Row, SitePart, Value
from fedgen.run_view import RunView
from fedgen.tracking.feed import FILES, Feed, of_rows, tracked

SECRET = b"PLANTED-PATIENT-4711"


def fed(run: RunDirectory, tracker):
    feed = Feed(tracker, run)
    for event in run.events_so_far():
        feed.tell(event)
    feed.finish()
    return tracker


def test_rounds_rows_and_files_are_told_once(run, remembering) -> None:
    tracker = fed(run, remembering())
    view = RunView(run)
    rounds = [event for event in view.events if isinstance(event, RoundDone)]
    assert [step for step, _ in tracker.scalars] == [1, 2, 2]
    for (_, told), event in zip(tracker.scalars, rounds, strict=False):
        assert told["loss/vae"] == event.losses["vae"].value
        assert told["privacy/epsilon"] == event.epsilon
        assert told["round/sites"] == 2
    rows = tracker.scalars[-1][1]
    assert rows == of_rows(view)
    assert any(name.startswith("pooled/") for name in rows)
    assert [(name, step) for name, _, step in tracker.pictures] == [
        ("preview", 1),
        ("samples", 2),
    ]
    assert tracker.pictures[0][1] == preview_path(run, 1).read_bytes()
    assert tracker.pictures[1][1] == (run.figures / "samples.png").read_bytes()
    assert sorted(tracker.files) == sorted([*FILES, "report.html"])


def test_a_picture_of_the_training_is_told_with_its_round_as_long_as_it_is_there(run, remembering) -> None:
    run.all_events([Previewed(round=round, images=8, seconds=0.1) for round in (3, 4)])
    write_atomic(preview_path(run, 4), b"newest")
    tracker = fed(run, remembering())
    assert ("preview", b"newest", 4) in tracker.pictures
    assert 3 not in [step for _, _, step in tracker.pictures]
    # A start before has told it.
    assert "preview" not in [name for name, _, _ in fed(run, remembering(known=4)).pictures]


def test_values_are_named_by_where_they_are_of() -> None:
    def row(estimate: float | None, **more: Any) -> Row:
        values = (Value(name="AUC", value=estimate),)
        return Row(id="leak", title="Leak", group="membership", values=values, **more)

    own = SitePart(site="north", values=(Value(name="AUC", value=0.9),))
    view: Any = SimpleNamespace(rows=[row(0.5, per_site=(own,))], pooled=[row(0.75)])
    assert of_rows(view) == {"membership/leak/AUC": 0.5, "pooled/membership/leak/AUC": 0.75}
    assert of_rows(SimpleNamespace(rows=[row(None)], pooled=[])) == {}


def test_what_was_told_before_is_not_told_again(run, remembering) -> None:
    tracker = fed(run, remembering(known=1))
    assert [step for step, _ in tracker.scalars] == [2, 2]


def test_nothing_of_a_patient_is_told(run, remembering) -> None:
    """Every file of the run that no tracker may have is marked, and the mark is in nothing that is told."""
    allowed = {run.path / name for name in (*FILES, "events.jsonl", "figures/samples.png", "report.html")}
    allowed.add(preview_path(run, 1))
    for path in sorted(run.path.rglob("*")):
        if path.is_file() and path not in allowed and path.parent != run.figures:
            path.write_bytes(path.read_bytes() + SECRET if path.suffix != ".json" else SECRET)
    (run.path / "site-only").mkdir(exist_ok=True)
    (run.path / "site-only/copies.json").write_bytes(SECRET)
    tracker = fed(run, remembering())
    told = [*tracker.files.values(), *(png for _, png, _ in tracker.pictures)]
    assert len(told) == len(FILES) + 3
    assert all(SECRET not in each for each in told)
    assert SECRET.decode() not in json.dumps(tracker.scalars)


def test_a_page_with_a_patient_is_not_told(run, remembering, monkeypatch) -> None:
    """A fault of the report is planted: it shows real images whatever it is asked."""
    from fedgen.report import handed_on, page

    monkeypatch.setattr(handed_on, "render", lambda view, now, patients: page.render(view, now=now))
    with pytest.raises(DataError, match="they may be patients'"):
        fed(run, remembering())


def test_the_parameters_are_the_study(run, small_run) -> None:
    about = tracked(run)
    assert about.name == Path(run.path).name
    assert about.parameters["training.rounds"] == "2"
    assert about.parameters["privacy.epsilon"] == "20.0"
