"""A run whose sites are in this process, once done; and a family with two objectives that read patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from fedgen.data.index import PatientIndex, write_index
from fedgen.data.prepare import Prepared
from fedgen.families.contract import Adam, Apply, Draws, Family, Objective
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline.runner import run_stages
from fedgen.pipeline.simulation import Simulation
from fedgen.recipe import _made
from fedgen.run.evidence_files import AuditFile
from fedgen.run.row import Verdict
from fedgen.study.study import Study
from fedgen.task.records import Records
from fedgen.task.task import Task

#: What the fixture `duo` asks of its family; both objectives read data.
EVERY = {"maker": 1, "judge": 1}


class _Reading(Objective):
    touches_data = True
    loss_bound = 4.0
    optimizer = Adam(0.01)

    def __init__(self, name: str) -> None:
        self.name = name
        self.updates = (name,)
        self.every = EVERY[name]

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        return {"z": torch.randn(B, M, K, 3, generator=rng, device=rng.device)}

    def of_rows(self, networks: Mapping[str, Apply], x: Tensor, z: Tensor) -> Tensor:
        raise NotImplementedError

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        assert records is not None
        images, weights = records.fields["image"], records.weights["patient"]
        K = draws["z"].shape[2]
        x = images[:, :, 0].flatten(2)[:, :, None].expand(-1, -1, K, -1).flatten(0, 2)
        rows = self.of_rows(networks, x, draws["z"].flatten(0, 2))
        return (rows.reshape(*weights.shape, K).mean(dim=2) * weights).sum(dim=1)


class Maker(_Reading):
    """Makes what the image is, and what the judge takes for one."""

    def of_rows(self, networks, x, z):
        made = networks["maker"](z)
        return (made - x).square().mean(dim=1) + 0.1 * softplus(-networks["judge"](made)).flatten()


class Judge(_Reading):
    """Tells images from what the maker makes."""

    def of_rows(self, networks, x, z):
        made, judge = networks["maker"](z).detach(), networks["judge"]
        return (softplus(-judge(x)) + softplus(judge(made))).flatten()


class Duo(Family):
    """Two linear networks, each with an objective that reads patients."""

    def __init__(self, task: Task, options: Any) -> None:
        self.shape = task.image.shape
        self.pixels = task.image.size[0] ** task.image.dimensions

    def networks(self) -> dict[str, nn.Module]:
        return {"judge": nn.Linear(self.pixels, 1), "maker": nn.Linear(3, self.pixels)}

    def contributions(self) -> tuple[Objective, ...]:
        return (Maker("maker"), Judge("judge"))

    def sample(self, networks, given, n, rng):
        return networks["maker"](torch.randn(n, 3, generator=rng)).reshape(n, *self.shape)

    def score(self, networks, records, rng):
        return torch.zeros(len(records.weights["patient"]))


@pytest.fixture
def duo(tiny_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Study]]:
    """`duo(every={"judge": 2}, training={...})`: a study of it, under the name and the options of another family."""
    monkeypatch.setattr("fedgen.recipe.family_class", lambda name: Duo)

    def build(every: Mapping[str, int] | None = None, **sections: Any) -> Study:
        for name, turns in (every or {}).items():
            monkeypatch.setitem(EVERY, name, turns)
        _made.cache_clear()
        return tiny_study("vae", **sections)

    yield build
    _made.cache_clear()


@pytest.fixture(scope="session")
def duo_family() -> type[Family]:
    return Duo


@pytest.fixture(scope="session")
def in_process(tiny_site: Any, quick_plans: None) -> Callable[[], AbstractContextManager[None]]:
    """`with in_process():` a simulation has two sites of generated tensors, which are asked without Ray."""
    sites = [tiny_site(name, 9, held_out=4) for name in ("north", "south")]

    def prepare(study: Any, source: Any, run_data: Path, cache: Path, progress: Any, more: Any) -> Prepared:
        write_index(run_data / "index.json", PatientIndex("table", ()))
        return Prepared(sites, [], 0)

    def reach(recipe: Any, sites: Any, run: Any, main: Any) -> Any:
        started = recipe.on_frozen(run.pretrained)
        return main(DirectExchange([Site(started, site, run.site(site.site)) for site in sites]))

    @contextmanager
    def patched() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fedgen.pipeline.simulation.prepare_sites", prepare)
            patch.setattr("fedgen.pipeline.simulation.reach_virtual_sites", reach)
            yield

    return patched


@pytest.fixture(scope="session")
def small_run(
    tmp_path_factory: pytest.TempPathFactory, tiny_study: Any, in_process: Any
) -> Iterator[Simulation]:
    """Two sites that trained two rounds and assessed what came of it, with a verdict of PASS planted."""
    with in_process():
        study = tiny_study(
            training={"rounds": 2},
            audit={"bootstrap": 100, "minimum_patients": 3},
            synthesis={"images": 8, "formats": ("png", "nifti")},
            release={"largest_epsilon": 20.0, "licence": "CC0-1.0"},
        )
        here = Simulation.create(study, None, tmp_path_factory.mktemp("runs"))
        run_stages(here)
        # So few images of so few patients are INSUFFICIENT whatever they show, and here is tested what follows.
        audit = AuditFile.read(here.work.run)
        audit.model_copy(update={"verdict": Verdict.PASS, "reasons": ()}).write(here.work.run)
        yield here
