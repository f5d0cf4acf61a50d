"""The stages in order; a run that stopped anywhere goes on where it was, and charges nobody again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedgen.errors import DataError, FederationError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.pipeline.runner import complete, run_stages
from fedgen.pipeline.setting import Setting
from fedgen.pipeline.simulation import unfinished
from fedgen.pipeline.stages import RELEASE, STAGES
from fedgen.pipeline.watch import guarded, timed
from fedgen.report.report_again import report_again
from fedgen.run.summary import RunSummary, update_summary
from fedgen.study.show import dump_study
from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Ledger

TENSORS = "samples/synthetic.safetensors"
NAMES = ["prepare", "train", "synthesize", "assess", "report"]
PRODUCTS = [product for stage in STAGES if stage is not RELEASE for product in stage.products]


def digests(here: Setting) -> dict[str, str]:
    return {path: hashlib.sha256((here.work.run.path / path).read_bytes()).hexdigest() for path in PRODUCTS}


def ledgers(here: Setting) -> dict[str, list[int]]:
    return {
        path.parent.name: [row.round for row in Ledger(path)]
        for path in sorted(here.work.run.sites.glob("*/ledger.jsonl"))
    }


def test_a_run_makes_everything_in_order(simulation, watcher, events) -> None:
    here = simulation()
    run_stages(here, watcher.watcher)
    assert watcher.told == ["prepare", "train", 1, 2, "synthesize", "assess", "report"]
    assert [line["stage"] for line in events(here, "stage")] == NAMES
    summary = here.work.run.read_json("run.json")
    assert summary["status"] == "done"
    assert summary["rounds"] == 2
    assert set(summary["timings"]) == set(NAMES)
    assert [site["site"] for site in summary["sites"]] == ["north", "south"]
    assert summary["sites"][0]["parts"] == {"train": 9, "audit": 4, "test": 4}
    assert summary["model"]["family"] == "vae"
    assert summary["secure_aggregation"] == {
        "enabled": False,
        "protocol": None,
        "dropouts": 0,
        "survivors": {"1": ["north", "south"], "2": ["north", "south"]},
        "aborts": [],
        "exchanges": [],
        "bytes": {"to_sites": 0, "from_sites": 0},
        "statement": PlainAggregator.statement,
    }
    for path in (
        *PRODUCTS,
        "report.html",
        "study.yaml",
        "figures/samples.png",
        "samples/labels.csv",
    ):
        assert (here.work.run.path / path).is_file(), path
    assert len(events(here, "done")) == 1
    assert ledgers(here) == {"north": [1, 2], "south": [1, 2]}

    # the epsilon that is printed is the one of the ledgers
    report = here.work.run.read_json("privacy.json")
    for row in report["sites"]:
        spends = Ledger(here.work.run.site(row["site"]) / "ledger.jsonl").spends()
        assert (
            row["epsilon"]
            == epsilon_prv(spends, here.work.study.privacy.delta)
            <= here.work.study.privacy.epsilon
        )

    # a second call has nothing to do but the report, and changes no result
    before, watcher.told[:] = digests(here), []
    run_stages(simulation(here), watcher.watcher)
    assert watcher.told == ["prepare", "report"]
    assert digests(here) == before
    assert ledgers(here) == {"north": [1, 2], "south": [1, 2]}


@pytest.mark.slow
def test_a_run_stopped_at_every_point_in_turn_charges_each_round_once(simulation, watcher, events) -> None:
    here = simulation()
    watcher.error = KeyboardInterrupt()
    again = here
    for number, watcher.at in enumerate((1, "synthesize", "assess", "report"), start=1):
        with pytest.raises(KeyboardInterrupt):
            run_stages(again, watcher.watcher)
        assert here.work.run.read_json("run.json")["status"] == "interrupted"
        assert len(events(here, "interrupted")) == number
        assert not (here.work.run.path / "report.html").exists()
        again = unfinished(here.work.study, here.work.run.path.parent)
        assert again.work.run.path == here.work.run.path
    watcher.at, watcher.told[:] = None, []
    run_stages(again, watcher.watcher)
    assert watcher.told == ["prepare", "report"]
    assert here.work.run.read_json("run.json")["status"] == "done"
    assert ledgers(here) == {"north": [1, 2], "south": [1, 2]}


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, "synthesize", "assess", "report"])
def test_a_stopped_run_goes_on_where_it_was(simulation, watcher, events, at) -> None:
    here = simulation()
    watcher.at, watcher.error = at, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_stages(here, watcher.watcher)
    assert here.work.run.read_json("run.json")["status"] == "interrupted"
    assert len(events(here, "interrupted")) == 1
    assert not (here.work.run.path / "report.html").exists()

    watcher.at, watcher.told[:] = None, []
    again = unfinished(here.work.study, here.work.run.path.parent)
    assert again.work.run.path == here.work.run.path
    run_stages(again, watcher.watcher)
    stage = "train" if at == 1 else at
    expected = ["prepare", *NAMES[NAMES.index(stage) :]]
    if stage == "train":
        expected.insert(2, 2)
    assert watcher.told == expected
    assert here.work.run.read_json("run.json")["status"] == "done"
    assert ledgers(here) == {"north": [1, 2], "south": [1, 2]}


def test_a_run_stopped_in_a_round_ends_as_an_uninterrupted_one(simulation, watcher, tmp_path) -> None:
    """Without privacy noise, one seed gives one model, however often the run was stopped."""
    sections = {"privacy": {"mode": "none"}}
    whole = simulation(**sections)
    run_stages(whole, watcher.watcher)
    here = simulation(**sections)
    watcher.at, watcher.error = 1, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_stages(here, watcher.watcher)
    watcher.at = None
    run_stages(simulation(here), watcher.watcher)
    assert here.work.run.read_json("run.json")["model"] == whole.work.run.read_json("run.json")["model"]
    assert digests(here)[TENSORS] == digests(whole)[TENSORS]
    assert here.work.run.read_json("privacy.json")["epsilon"] is None


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (FederationError("Too few sites: start the others."), "Too few sites: start the others.", 5),
        (DataError("Bad data: mend it."), "Bad data: mend it.", 4),
        (RuntimeError("secret path /data/Meier"), "unexpected RuntimeError", 1),
    ],
)
def test_a_failure_is_written_down_and_passed_on(simulation, watcher, events, error, reason, code) -> None:
    here = simulation()
    watcher.at, watcher.error = "train", error
    with pytest.raises(type(error)):
        run_stages(here, watcher.watcher)
    assert here.work.run.read_json("run.json")["status"] == "failed"
    assert [(line["reason"], line["code"]) for line in events(here, "abort")] == [(reason, code)]


def test_a_full_disk_shows_its_own_sentence(simulation, disk_full) -> None:
    """... although the failure itself can then not be written down."""
    here = simulation()
    with pytest.raises(DataError, match="disk is full"), guarded(here.work), disk_full():
        update_summary(here.work.run, RunSummary(rounds=1))
    with pytest.raises(DataError, match="first reason"), guarded(here.work):
        with disk_full():
            here.work.run.events.unlink(missing_ok=True)
        raise DataError("first reason")


def test_timings_of_a_resumed_stage_add_up(simulation, monkeypatch) -> None:
    here = simulation()
    clock = iter([0.0, 2.0, 10.0, 13.5])
    # Of this module alone: a lock has a clock, too.
    monkeypatch.setattr("fedgen.pipeline.watch.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(KeyboardInterrupt), timed(here.work, "train"):
        raise KeyboardInterrupt
    assert here.work.run.read_json("run.json")["timings"] == {"train": 2.0}
    with timed(here.work, "train"):
        pass
    assert here.work.run.read_json("run.json")["timings"] == {"train": 5.5}


def make(out: Path, study, name: str, status: str | None) -> Path:
    path = out / name
    path.mkdir()
    (path / "study.yaml").write_text(dump_study(study))
    if status is not None:
        (path / "run.json").write_text(json.dumps({"version": 2, "status": status}))
    return path


def test_unfinished_is_the_newest_of_this_very_study(tmp_path, tiny_study) -> None:
    study, changed = tiny_study(), tiny_study(training={"rounds": 7})
    make(tmp_path, study, "tiny-20260101T000000Z", "failed")
    right = make(tmp_path, study, "tiny-20260102T000000Z", "interrupted")
    make(tmp_path, study, "tiny-20260103T000000Z", "done")
    make(tmp_path, changed, "tiny-20260104T000000Z", "running")
    make(tmp_path, study, "tiny-20260105T000000Z", None)
    (tmp_path / "tiny-20260106T000000Z").mkdir()
    make(tmp_path, study, "other-20260107T000000Z", "running")
    assert unfinished(study, tmp_path).work.run.path == right


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_whatever_is_not_done_can_be_resumed(tmp_path, tiny_study, status) -> None:
    """`running` is what kill -9 leaves behind."""
    path = make(tmp_path, tiny_study(), "tiny-20260101T000000Z", status)
    assert unfinished(tiny_study(), tmp_path).work.run.path == path


def test_a_changed_study_is_not_resumed(tmp_path, tiny_study) -> None:
    make(tmp_path, tiny_study(), "tiny-20260101T000000Z", "running")
    with pytest.raises(DataError, match=r"no unfinished run of tiny .*\(1 of another version of the study\)"):
        unfinished(tiny_study(study={"seed": 6}), tmp_path)


def test_nothing_to_resume(tmp_path, tiny_study) -> None:
    with pytest.raises(DataError, match="start a new one"):
        unfinished(tiny_study(), tmp_path / "nowhere")


def test_a_report_written_anew_says_how_the_run_stands(simulation, watcher) -> None:
    here = simulation()
    run_stages(here, watcher.watcher)
    assert complete(here.work)
    report_again(here.work.run)
    assert here.work.run.read_json("run.json")["status"] == "done"
    assert "This run is not finished" not in (here.work.run.path / "report.html").read_text(encoding="utf-8")
    (here.work.run.path / "evaluation.json").unlink()
    update_summary(here.work.run, RunSummary(status="failed"))
    assert not complete(here.work)
    report_again(here.work.run)
    assert here.work.run.read_json("run.json")["status"] == "failed"
    assert "This run is not finished" in (here.work.run.path / "report.html").read_text(encoding="utf-8")
