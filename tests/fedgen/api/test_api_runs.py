"""A run from Python: begun, watched, stopped, gone on with, and read."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas
import pytest

import fedgen
from fedgen.api.loud import ProtectionWarning
from fedgen.api.progress import Moment, in_notebook, watching
from fedgen.api.row_table import ValueLine, value_lines
from fedgen.errors import DataError, StudyError
from fedgen.run.events import RoundDone
from fedgen.run.row import Row


@pytest.fixture
def copy(small_run: Any, tmp_path: Path) -> fedgen.Run:
    """A copy of a run that is done, to be changed."""
    path = tmp_path / small_run.work.run.path.name
    shutil.copytree(small_run.work.run.path, path)
    return fedgen.open_run(path)


@pytest.fixture
def done(small_run: Any) -> fedgen.Run:
    return fedgen.open_run(small_run.work.run.path)


def test_a_run_is_watched_stopped_and_gone_on_with(in_process, tiny_study, tmp_path) -> None:
    study = tiny_study(training={"rounds": 2}, synthesis={"images": 4})
    seen: list[Moment] = []

    def stop_after_a_round(moment: Moment) -> None:
        seen.append(moment)
        if moment.round is not None:
            raise KeyboardInterrupt

    with in_process(), pytest.warns(ProtectionWarning, match="aggregation.secure is off"):
        with pytest.raises(KeyboardInterrupt):
            fedgen.simulate(study, out=tmp_path, progress=stop_after_a_round)
        (path,) = tmp_path.glob("tiny-*")
        run = fedgen.open_run(path)
        assert run.status == "interrupted"
        assert repr(run) == f"<Run {path}: interrupted>"
        run.go_on(progress=seen.append)
    assert run.status == "done"
    assert run.study == study
    assert [event.round for event in run.events if isinstance(event, RoundDone)] == [1, 2]
    assert [moment.round.round for moment in seen if moment.round is not None] == [1, 2]
    stages = list(dict.fromkeys(moment.stage for moment in seen))
    assert stages == ["prepare", "train", "synthesize", "assess", "report"]
    rounds = [moment for moment in seen if moment.round is not None]
    assert [(moment.done, moment.total) for moment in rounds] == [(1, 2), (2, 2)]
    assert all("epsilon <=" in moment.words for moment in rounds)
    assert any(moment.stage == "assess" and moment.words.startswith("north: ") for moment in seen)


def test_what_came_of_it_is_read(done: fedgen.Run) -> None:
    assert (done.status, done.name) == ("done", done.path.name)
    images = done.samples("png")
    assert len(images) == 8
    assert images[0].image.shape == (1, 16, 16)
    assert done.summary.rounds == 2
    assert {row.id for row in done.evidence} >= {"copy-detection"}


def test_rows_are_a_table_with_pandas_and_rows_without(done: fedgen.Run, monkeypatch) -> None:
    table = done.rows()
    assert isinstance(table, pandas.DataFrame)
    assert tuple(table.columns) == ValueLine._fields
    assert {"sites", "north", "south"} <= set(table["where"])
    view = done.view
    row = next(row for row in view.rows if row.values)
    found = table[(table["row"] == row.id) & (table["where"] == "sites")]
    assert list(found["value"]) == [value.name for value in row.values]
    assert len(table) == len(value_lines(view.rows, view.pooled))
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert done.rows() == list(view.rows)


def test_a_row_that_only_judges_is_a_line() -> None:
    finding = {"verdict": "PASS", "sentence": "Nothing."}
    row = Row.model_validate_json(
        '{"id": "a", "title": "A", "group": "g", "findings": [{"verdict": "PASS", "sentence": "Nothing."}]}'
    )
    (line,) = value_lines([row])
    assert (line.where, line.value, line.estimate, line.verdict) == ("sites", "", None, finding["verdict"])


def test_the_report_is_shown_in_a_frame_of_its_own(done: fedgen.Run) -> None:
    page = done.report()
    assert page.path == done.path / "report.html"
    frame = page._repr_html_()
    assert frame.startswith("<iframe ") and frame.endswith("</iframe>")
    assert frame.count("<") == 2, "the page is in an attribute, with every sign of HTML escaped"
    assert "allow-scripts" not in frame
    assert done.path.name in repr(page)
    assert "<html" in page.html


def test_a_page_to_hand_on_has_no_patient(done: fedgen.Run) -> None:
    assert done.report(patients=False).html.count("data:image/png") < done.report().html.count(
        "data:image/png"
    )


def test_a_stage_is_done_again(copy: fedgen.Run, in_process) -> None:
    before = (copy.path / "samples/labels.csv").stat().st_mtime_ns
    with in_process():
        copy.again("synthesize", progress=False)
    assert (copy.path / "samples/labels.csv").stat().st_mtime_ns > before
    with pytest.raises(StudyError, match="has no stage fly: its stages are prepare, train"):
        copy.again("fly", progress=False)
    (copy.path / "report.html").unlink()
    copy.again("report", progress=False)
    assert (copy.path / "report.html").is_file()


def test_no_run_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a run folder"):
        fedgen.Run(tmp_path)


def test_no_folder_of_images_is_a_sentence(tmp_path: Path, tiny_study) -> None:
    with pytest.raises(StudyError, match=r"data .*nowhere is not a folder"):
        fedgen.simulate(
            tiny_study(aggregation={"secure": True, "minimum_sites": 3}), data=tmp_path / "nowhere"
        )


@pytest.mark.parametrize(
    ("given", "overrides", "words"),
    [
        (
            "demo",
            {"privacy.epsilom": 1},
            "override privacy.epsilom: unknown key privacy.epsilom, did you mean",
        ),
        ("demo", {"privacy.epsilon": "x"}, "override privacy.epsilon: privacy.epsilon must be a number"),
        ("demo", {"study.name": object()}, "which no study file can hold"),
        ("demo", ["privacy.epsilon=x"], "--set privacy.epsilon=x: privacy.epsilon must be a number"),
        ("demo", {"model.vae.channels": (4, 8)}, "model.vae would change nothing"),
        ({"study": {"name": "x"}, "training": {"round": 3}}, {}, "the study: unknown key training.round"),
        (Path("demo"), {}, "demo does not exist"),
    ],
)
def test_what_is_wrong_with_a_study_is_a_sentence(given: Any, overrides: Any, words: str) -> None:
    with pytest.raises(StudyError) as told:
        fedgen.study(given, overrides)
    assert words in str(told.value)


def test_a_study_is_the_same_from_wherever_it_comes(tmp_path: Path) -> None:
    demo = fedgen.study("demo", {"training.batch_patients": 100, "data.image_size": (16, 16)})
    assert demo.data.image_size == (16, 16)
    assert fedgen.study("demo", ["training.batch_patients=100", "data.image_size=[16, 16]"]) == demo
    assert fedgen.study(demo.model_dump(mode="json")) == demo
    assert fedgen.study(demo) is demo
    assert fedgen.study(demo, {"study.seed": 7}).study.seed == 7
    file = tmp_path / "study.yaml"
    file.write_text("study: {name: own}\n")
    assert fedgen.study(file) == fedgen.study(str(file)) == fedgen.study({"study": {"name": "own"}})


def test_auto_is_settled_by_the_patients() -> None:
    values = {
        "study": {"name": "small"},
        "model": {"family": "auto", "prior": {"phantom": {"patients": 40, "seed": 5}}},
    }
    settled = fedgen.study(values, patients=[40, 40, 40])
    assert settled.model.family != "auto" and settled.model.chosen


def test_a_notebook_is_known_by_its_kernel(monkeypatch) -> None:
    assert not in_notebook()
    module = ModuleType("IPython")
    module.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert in_notebook()


def test_silence_is_silent(capsys) -> None:
    with watching(False) as watcher:
        watcher.stage("train")
        watcher.images(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_plan_is_what_the_command_prints() -> None:
    planned = fedgen.plan("demo")
    assert planned.forecast.sites == 4
    assert planned.to_json()["sentences"] == planned.sentences[: len(planned.to_json()["sentences"])]
    assert any("Recommended" in sentence for sentence in planned.sentences)
