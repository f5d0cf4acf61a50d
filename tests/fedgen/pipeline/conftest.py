"""A run of a tiny phantom study whose federation is in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedgen.data.index import PatientIndex, write_index
from fedgen.data.prepare import Prepared
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline.setting import Setting
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.watch import Watcher


@pytest.fixture(scope="session", autouse=True)
def _quick(quick_plans: None) -> None:
    """Every site of these tests."""


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training without Ray."""

    def reach_virtual_sites(recipe: Any, sites: Any, run: Any, main: Any) -> Any:
        started = recipe.on_frozen(run.pretrained)
        return main(DirectExchange([Site(started, site, run.site(site.site)) for site in sites]))

    monkeypatch.setattr("fedgen.pipeline.simulation.reach_virtual_sites", reach_virtual_sites)


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch, tiny_site: Callable[..., Any]) -> None:
    """Two sites of generated tensors in place of files; nine patients of a site train, eight are held out."""
    sites = [tiny_site(name, 9, held_out=4) for name in ("north", "south")]

    def prepare(study: Any, source: Any, run_data: Path, cache: Path, progress: Any, more: Any) -> Prepared:
        write_index(run_data / "index.json", PatientIndex("table", ()))
        return Prepared(sites, [], 0)

    monkeypatch.setattr("fedgen.pipeline.simulation.prepare_sites", prepare)


@pytest.fixture
def simulation(tmp_path: Path, tiny_study: Any, direct: None, tiny_data: None) -> Callable[..., Simulation]:
    """`simulation()`: a new run; `simulation(earlier)`: the same one, as a later command finds it."""

    def build(earlier: Simulation | None = None, **sections: Any) -> Simulation:
        if earlier is not None:
            return Simulation.open(earlier.work.run.path)
        return Simulation.create(tiny_study(**{"training": {"rounds": 2}, **sections}), None, tmp_path)

    return build


@pytest.fixture
def watcher() -> SimpleNamespace:
    """A watcher that notes the stages and rounds it was told, and can stop the run at one of them."""
    told: list[Any] = []
    note = SimpleNamespace(told=told, at=None, error=None)

    def tell(what: Any) -> None:
        told.append(what)
        if what == note.at:
            raise note.error

    note.watcher = Watcher(
        stage=tell, round=lambda report: tell(report.round), images=lambda done, total: None
    )
    return note


@pytest.fixture
def events() -> Callable[..., list[dict[str, Any]]]:
    """Lines of a run's events.jsonl, of one kind."""

    def read(here: Setting, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in here.work.run.events.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line["event"] == event]

    return read
