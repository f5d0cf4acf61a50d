"""A coordinator and two hospitals in one process, whose answers cross the wire's own text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedgen.data.site_data import LabelledImages
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import identity
from fedgen.pipeline import assessment
from fedgen.pipeline.assessment import Assessor
from fedgen.pipeline.federation import FederationSetting
from fedgen.pipeline.runner import run_stages
from fedgen.pipeline.watch import SILENT
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Answer, Assess, Task
from fedgen.protocol.wire import decode_answer, decode_task, encode_answer, encode_task
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.show import dump_study

NAMES = ("east", "north")
EVERYTHING = frozenset({"loss", "audit", "evaluation", "receipt"})


class Wired:
    """A direct exchange whose messages go through the wire's form, and which some sites' answers never reach."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._exchange = DirectExchange(sites)
        self.asked: list[tuple[str, Task]] = []
        self.gone: set[str] = set()
        self.silent: set[str] = set()
        self.spoil: Callable[[Answer], Answer] = lambda answer: answer

    def sites(self) -> Sequence[str]:
        return [site for site in self._exchange.sites() if site not in self.gone]

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        assert not self.gone & set(tasks)
        self.asked += tasks.items()
        carried = {site: decode_task(*encode_task(task)) for site, task in tasks.items()}
        for site, answer in self._exchange.stream(carried, deadline):
            if not (site in self.silent and isinstance(tasks[site], Assess)):
                yield site, self.spoil(decode_answer(*encode_answer(answer)))

    def questions(self) -> list[str]:
        return [site for site, task in self.asked if isinstance(task, Assess)]


@pytest.fixture(scope="module")
def known() -> dict[Any, Any]:
    """Numbers of each site by question."""
    return {}


@pytest.fixture(autouse=True)
def _computed_once(monkeypatch: pytest.MonkeyPatch, known: dict[Any, Any]) -> None:
    """What a site finds for a question depends on nothing else, so these tests compute it once."""
    for part in ("audit_numbers", "evaluation_numbers"):
        real = getattr(assessment, part)

        def once(study: Any, data: Any, *rest: Any, part: str = part, real: Any = real) -> Any:
            (task,) = (each for each in rest if isinstance(each, Assess))
            key = (part, data.site, task.sha256)
            if key not in known:
                known[key] = real(study, data, *rest)
            return known[key]

        monkeypatch.setattr(assessment, part, once)


@pytest.fixture
def federation(tmp_path: Path, tiny_study: Any, tiny_site: Any) -> Callable[..., SimpleNamespace]:
    """`federation(metrics={"north": ...})`: two sites and a run; called again it is the same after a restart."""

    def build(
        metrics: Mapping[str, frozenset[str]] | None = None,
        geometry: Mapping[str, dict[str, Any]] | None = None,
        **sections: Any,
    ) -> SimpleNamespace:
        changed = {
            "training": {"rounds": 2},
            "audit": {"bootstrap": 100, "minimum_patients": 6},
            "evaluation": {"extractors": ("random_conv",), "seeds": 1, "steps": 1, "bootstrap": 100},
            # The same seed then gives the same run, and so the same verdict.
            "privacy": {"mode": "none"},
        }
        study = tiny_study(**{**changed, **sections})
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir(exist_ok=True)
        run.study.write_text(dump_study(study))
        data = {
            name: replace(tiny_site(name, 12, held_out=12), **(geometry or {}).get(name, {}))
            for name in NAMES
        }
        folders = {name: tmp_path / "hospitals" / name for name in NAMES}
        sites = [
            Site(
                Recipe.of(study),
                data[name],
                folders[name],
                assessor=Assessor(
                    Recipe.of(study),
                    data[name],
                    folders[name],
                    (metrics or {}).get(name, EVERYTHING),
                    identity=identity(folders[name], name),
                ),
            )
            for name in NAMES
        ]
        exchange = Wired(sites)
        keys = {name: identity(folders[name], name).public_key for name in NAMES}
        return SimpleNamespace(
            study=study,
            run=run,
            data=data,
            folders=folders,
            exchange=exchange,
            keys=keys,
            here=(here := FederationSetting(Workspace(run, study), exchange, PlainAggregator(), roster=keys)),
            go=lambda watcher=SILENT, **options: run_stages(replace(here, **options), watcher),
            json=run.read_json,
        )

    return build


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[[torch.Tensor], None]:
    """`release(images)`: what the generator returns, in place of what it learned; 4 images of either class."""

    def patch(images: torch.Tensor) -> None:
        made = LabelledImages(images.half().float(), torch.arange(8) // 4)
        monkeypatch.setattr("fedgen.pipeline.release.synthesize", lambda *args, **options: made)

    return patch


@pytest.fixture
def harmless(release: Callable[[torch.Tensor], None]) -> None:
    """A generator that knows no patient."""
    release(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(7)) * 2 - 1)
