"""A simulation and a federation run the same stages, and their sites say the same of the same study and seed."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline import stages
from fedgen.pipeline.assessment import AUDIT, EVALUATION, Assessor
from fedgen.pipeline.federation import FederationSetting
from fedgen.pipeline.runner import run_again, run_stages
from fedgen.pipeline.setting import Setting
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import RELEASE, STAGES
from fedgen.pipeline.workspace import Workspace
from fedgen.recipe import Recipe
from fedgen.run_view import RunView

NAMES = ("north", "south")
STAGE_NAMES = ["prepare", "train", "synthesize", "assess", "report"]
PLAIN = {"privacy": {"mode": "none"}}


@pytest.fixture
def federated(tmp_path, tiny_study, tiny_site, simulation):
    """`federated()`: a federation of the very sites and study of `simulation()`, as after a restart."""

    def build(**sections: Any) -> FederationSetting:
        study = tiny_study(**{"training": {"rounds": 2}, **sections})
        recipe, runs = Recipe.of(study), tmp_path / "coordinator"
        sites = []
        for name in NAMES:
            data, folder = tiny_site(name, 9, held_out=4), tmp_path / "hospitals" / name
            assessor = Assessor(recipe, data, folder, frozenset({AUDIT, EVALUATION}))
            sites.append(Site(recipe, data, folder, assessor=assessor))
        found = sorted(runs.glob("*"))
        work = Workspace.open(found[0]) if found else Workspace.create(study, runs, None)
        return FederationSetting(work, DirectExchange(sites), PlainAggregator())

    return build


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Functions of the stages that were called, with the setting they were called in."""
    found: list[tuple[str, str]] = []
    for name in (
        "train_rounds",
        "spent",
        "privacy_report",
        "joined_image",
        "draw_release",
        "assess",
        "write_report",
    ):
        real = getattr(stages, name)

        @functools.wraps(real)
        def noted(*args: Any, real: Any = real, name: str = name, **options: Any) -> Any:
            found.append(("function", name))
            return real(*args, **options)

        monkeypatch.setattr(stages, name, noted)
    return found


def test_both_run_the_same_functions_and_give_equal_rows(simulation, federated, watcher, called) -> None:
    simulated, real = simulation(**PLAIN), federated(**PLAIN)
    run_stages(simulated, watcher.watcher)
    said, watcher.told[:] = list(watcher.told), []
    first, called[:] = list(called), []
    run_stages(real, watcher.watcher)
    assert watcher.told == said == ["prepare", "train", 1, 2, "synthesize", "assess", "report"]
    assert called == first
    assert first[0] == ("function", "train_rounds") and len(first) == 7

    one, other = RunView(simulated.work.run), RunView(real.work.run)
    assert one.summary.model == other.summary.model
    assert one.rows == other.rows and len(one.rows) > 10
    assert [site.verdict for site in one.audit.sites] == [site.verdict for site in other.audit.sites]
    # What only who has all patients in one place can say stands beside, and is named so.
    assert {row.id for row in one.pooled} >= {"copy-detection", "TSTR"}
    assert other.pooled == ()
    assert (one.federated, other.federated) == (False, True)
    kinds = [[event.event for event in view.events] for view in (one, other)]
    assert kinds[0] == kinds[1]


#: Where a run can be stopped.
POINTS = ("prepare", "train", 1, "synthesize", "assess", "report")
#: What a watcher is told of a run that is stopped at each of them in turn: no stage and no round twice, but for the
#: stage that was stopped.
IN_TURN = [
    *("prepare",), *("prepare", "train"), *("prepare", "train", 1), *("prepare", "train", 2, "synthesize"),
    *("prepare", "synthesize", "assess"), *("prepare", "assess", "report"), *("prepare", "report"),
]  # fmt: skip


@pytest.mark.slow
def test_stopped_at_every_point_in_turn_both_end_alike(simulation, federated, watcher) -> None:
    ends = {}
    for kind in ("simulation", "federation"):
        here: Setting = simulation(**PLAIN) if kind == "simulation" else federated(**PLAIN)
        again, watcher.error, watcher.told[:] = here, KeyboardInterrupt(), []
        for watcher.at in POINTS:
            with pytest.raises(KeyboardInterrupt):
                run_stages(again, watcher.watcher)
            assert RunView(here.work.run).summary.status == "interrupted"
            again = simulation(here) if kind == "simulation" else federated(**PLAIN)
        watcher.at = None
        run_stages(again, watcher.watcher)
        assert watcher.told == IN_TURN
        view = RunView(here.work.run)
        assert view.summary.status == "done" and not view.missing
        ends[kind] = (view.summary.model, view.rows)
    assert ends["simulation"] == ends["federation"]


@pytest.mark.slow
@pytest.mark.parametrize("at", POINTS)
def test_both_go_on_wherever_they_were_stopped(simulation, federated, watcher, at) -> None:
    """... with no stage run twice, and the same results as a run that was never stopped."""
    ends = {}
    for kind in ("simulation", "federation"):
        here: Setting = simulation(**PLAIN) if kind == "simulation" else federated(**PLAIN)
        watcher.at, watcher.error, watcher.told[:] = at, KeyboardInterrupt(), []
        with pytest.raises(KeyboardInterrupt):
            run_stages(here, watcher.watcher)
        assert RunView(here.work.run).summary.status == "interrupted"
        watcher.at, watcher.told[:] = None, []
        again = simulation(here) if kind == "simulation" else federated(**PLAIN)
        run_stages(again, watcher.watcher)
        stage = "train" if at == 1 else at
        rounds = {"prepare": [1, 2], "train": [1, 2], 1: [2]}.get(at, [])
        rest = [name for name in STAGE_NAMES[1:] if STAGE_NAMES.index(name) >= STAGE_NAMES.index(stage)]
        assert [name for name in watcher.told if isinstance(name, str)] == ["prepare", *rest]
        assert [n for n in watcher.told if isinstance(n, int)] == rounds
        view = RunView(here.work.run)
        assert view.summary.status == "done" and not view.missing
        ends[kind] = (view.summary.model, view.rows)
    assert ends["simulation"] == ends["federation"]


def test_pictures_that_a_kill_prevented_are_drawn_by_the_next_start(federated, watcher, monkeypatch) -> None:
    here = federated(**PLAIN)
    with monkeypatch.context() as patch:
        patch.setattr(FederationSetting, "draw", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run_stages(here, watcher.watcher)
    assert (here.work.run.samples / "synthetic.safetensors").exists()
    run_stages(federated(**PLAIN), watcher.watcher)
    assert (here.work.run.figures / "synthetic.json").exists()


def test_a_stage_that_leaves_nothing_is_never_done(tmp_path) -> None:
    run = SimpleNamespace(path=tmp_path)
    stages = [stage for stage in STAGES if stage is not RELEASE]
    assert [stage.name for stage in stages] == STAGE_NAMES
    assert not any(stage.done(run) for stage in stages)
    for stage in stages:
        for product in stage.products:
            (tmp_path / product).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / product).touch()
    assert [stage.name for stage in stages if not stage.done(run)] == ["prepare", "report"]


@pytest.mark.slow
def test_a_release_that_a_simulation_draws_anew_is_assessed_anew(simulation, watcher, monkeypatch) -> None:
    """Nothing has left its sites, so their one answer a study is no bound to it; a hospital refuses."""
    here = simulation(**PLAIN)
    run_stages(here, watcher.watcher)
    before = RunView(here.work.run).rows
    images = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(8)).half().float() * 2 - 1
    made = LabelledImages(images.half().float(), torch.arange(8) // 4)
    monkeypatch.setattr("fedgen.pipeline.release.synthesize", lambda *args, **options: made)
    for stage in STAGES[2:4]:
        run_again(simulation(here), stage, watcher.watcher)
    view = RunView(here.work.run)
    assert view.audit.absent == () and view.rows != before


def test_the_run_of_a_federation_is_no_simulation(federated, watcher) -> None:
    here = federated(**PLAIN)
    run_stages(here, watcher.watcher)
    with pytest.raises(DataError, match=r"is the run of a federation.*only its coordinator"):
        Simulation.open(here.work.run.path)


def test_a_pooled_audit_can_only_make_the_verdict_worse(simulation, watcher, monkeypatch) -> None:
    here = simulation(**PLAIN)
    run_stages(here, watcher.watcher)
    real = here.sites[0]
    stolen = real.images[real.parts == 0][:4].float()
    made = LabelledImages(torch.cat([stolen, stolen]), torch.arange(8) // 4)
    monkeypatch.setattr("fedgen.pipeline.release.synthesize", lambda *args, **options: made)
    for stage in STAGES[2:4]:
        run_again(simulation(here), stage, watcher.watcher)
    audit = RunView(here.work.run).audit
    assert audit.verdict == "FAIL"
    assert any("all patients together" in reason for reason in audit.reasons)
    assert any(f"at {NAMES[0]}" in reason for reason in audit.reasons)
