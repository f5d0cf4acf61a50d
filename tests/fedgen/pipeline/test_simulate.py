"""The stages in order; a run that stopped anywhere goes on where it was, and charges nobody again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedgen.errors import DataError, FederationError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.pipeline.simulate import PRODUCTS, guarded, rewrite_report, run_stages, timed, unfinished
from fedgen.pipeline.workspace import Workspace
from fedgen.study.show import dump_study
from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Ledger

STAGES = ("prepare", "train", "synthesize", "audit", "evaluate", "report")


def digests(work: Workspace) -> dict[str, str]:
    return {
        name: hashlib.sha256((work.run.path / path).read_bytes()).hexdigest()
        for name, path in PRODUCTS.items()
    }


def ledgers(work: Workspace) -> dict[str, list[int]]:
    return {
        path.parent.name: [row.round for row in Ledger(path)]
        for path in sorted(work.run.sites.glob("*/ledger.jsonl"))
    }


def test_a_run_makes_everything_in_order(workspace, watcher, events) -> None:
    work = workspace()
    run_stages(work, watcher.watcher)
    assert watcher.told == ["prepare", "train", 1, 2, "synthesize", "audit", "evaluate", "report"]
    assert [line["stage"] for line in events(work, "stage")] == list(STAGES)
    summary = work.run.read_json("run.json")
    assert summary["status"] == "done"
    assert summary["rounds"] == 2
    assert set(summary["timings"]) == set(STAGES)
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
        *PRODUCTS.values(),
        "report.html",
        "study.yaml",
        "figures/samples.png",
        "samples/samples.csv",
    ):
        assert (work.run.path / path).is_file(), path
    assert len(events(work, "done")) == 1
    assert ledgers(work) == {"north": [1, 2], "south": [1, 2]}

    # the epsilon that is printed is the one of the ledgers
    report = work.run.read_json("privacy.json")
    for row in report["sites"]:
        spends = Ledger(work.run.site(row["site"]) / "ledger.jsonl").spends()
        assert row["epsilon"] == epsilon_prv(spends, work.study.privacy.delta) <= work.study.privacy.epsilon

    # a second call has nothing to do but the report, and changes no result
    before, watcher.told[:] = digests(work), []
    run_stages(workspace(work), watcher.watcher)
    assert watcher.told == ["prepare", "report"]
    assert digests(work) == before
    assert ledgers(work) == {"north": [1, 2], "south": [1, 2]}


@pytest.mark.parametrize("at", [1, "synthesize", "audit", "evaluate", "report"])
def test_a_stopped_run_goes_on_where_it_was(workspace, watcher, events, at) -> None:
    work = workspace()
    watcher.at, watcher.error = at, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_stages(work, watcher.watcher)
    assert work.run.read_json("run.json")["status"] == "interrupted"
    assert len(events(work, "interrupted")) == 1
    assert not (work.run.path / "report.html").exists()

    watcher.at, watcher.told[:] = None, []
    again = unfinished(work.study, work.run.path.parent)
    assert again.run.path == work.run.path
    run_stages(again, watcher.watcher)
    stage = "train" if at == 1 else at
    expected = ["prepare", *STAGES[STAGES.index(stage) :]]
    if stage == "train":
        expected.insert(2, 2)
    assert watcher.told == expected
    assert work.run.read_json("run.json")["status"] == "done"
    assert ledgers(work) == {"north": [1, 2], "south": [1, 2]}


def test_a_run_stopped_in_a_round_ends_as_an_uninterrupted_one(workspace, watcher, tmp_path) -> None:
    """Without privacy noise, one seed gives one model, however often the run was stopped."""
    sections = {"privacy": {"mode": "none"}}
    whole = workspace(**sections)
    run_stages(whole, watcher.watcher)
    work = workspace(**sections)
    watcher.at, watcher.error = 1, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_stages(work, watcher.watcher)
    watcher.at = None
    run_stages(workspace(work), watcher.watcher)
    assert work.run.read_json("run.json")["model"] == whole.run.read_json("run.json")["model"]
    assert digests(work)["synthesize"] == digests(whole)["synthesize"]
    assert work.run.read_json("privacy.json")["epsilon"] is None


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (FederationError("Too few sites: start the others."), "Too few sites: start the others.", 5),
        (DataError("Bad data: mend it."), "Bad data: mend it.", 4),
        (RuntimeError("secret path /data/Meier"), "unexpected RuntimeError", 1),
    ],
)
def test_a_failure_is_written_down_and_passed_on(workspace, watcher, events, error, reason, code) -> None:
    work = workspace()
    watcher.at, watcher.error = "train", error
    with pytest.raises(type(error)):
        run_stages(work, watcher.watcher)
    assert work.run.read_json("run.json")["status"] == "failed"
    assert [(line["reason"], line["code"]) for line in events(work, "abort")] == [(reason, code)]


def test_a_full_disk_shows_its_own_sentence(workspace, disk_full) -> None:
    """... although the failure itself can then not be written down."""
    work = workspace()
    with pytest.raises(DataError, match="disk is full"), guarded(work), disk_full():
        work.run.update_summary(rounds=1)
    with pytest.raises(DataError, match="first reason"), guarded(work):
        with disk_full():
            work.run.events.unlink(missing_ok=True)
        raise DataError("first reason")


def test_timings_of_a_resumed_stage_add_up(workspace, monkeypatch) -> None:
    work = workspace()
    clock = iter([0.0, 2.0, 10.0, 13.5])
    # Of this module alone: a lock has a clock, too.
    monkeypatch.setattr("fedgen.pipeline.watch.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(KeyboardInterrupt), timed(work, "train"):
        raise KeyboardInterrupt
    assert work.run.read_json("run.json")["timings"] == {"train": 2.0}
    with timed(work, "train"):
        pass
    assert work.run.read_json("run.json")["timings"] == {"train": 5.5}


def make(out: Path, study, name: str, status: str | None) -> Path:
    path = out / name
    path.mkdir()
    (path / "study.yaml").write_text(dump_study(study))
    if status is not None:
        (path / "run.json").write_text(json.dumps({"status": status}))
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
    assert unfinished(study, tmp_path).run.path == right


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_whatever_is_not_done_can_be_resumed(tmp_path, tiny_study, status) -> None:
    """`running` is what kill -9 leaves behind."""
    path = make(tmp_path, tiny_study(), "tiny-20260101T000000Z", status)
    assert unfinished(tiny_study(), tmp_path).run.path == path


def test_a_changed_study_is_not_resumed(tmp_path, tiny_study) -> None:
    make(tmp_path, tiny_study(), "tiny-20260101T000000Z", "running")
    with pytest.raises(DataError, match=r"no unfinished run of tiny .*\(1 of another version of the study\)"):
        unfinished(tiny_study(study={"seed": 6}), tmp_path)


def test_nothing_to_resume(tmp_path, tiny_study) -> None:
    with pytest.raises(DataError, match="start a new one"):
        unfinished(tiny_study(), tmp_path / "nowhere")


def test_a_report_written_anew_says_how_the_run_stands(workspace, watcher) -> None:
    work = workspace()
    run_stages(work, watcher.watcher)
    rewrite_report(workspace(work))
    assert work.run.read_json("run.json")["status"] == "done"
    assert "This run is not finished" not in (work.run.path / "report.html").read_text(encoding="utf-8")
    (work.run.path / "evaluation.json").unlink()
    work.run.update_summary(status="failed")
    rewrite_report(workspace(work))
    assert work.run.read_json("run.json")["status"] == "failed"
    assert "This run is not finished" in (work.run.path / "report.html").read_text(encoding="utf-8")
