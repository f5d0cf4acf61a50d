"""A linear regression as the smallest objective a record can have, and what a step of it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedgen.data.site_data import Part, SiteData
from fedgen.families.contract import Adam, Apply, Draws, Memory, Objective
from fedgen.task.records import Records
from fedgen.training.local import Gaussian, LocalPlan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom

PIXELS = 4


class Regression(Objective):
    """(net(pixels) - label + eps)^2, mean over K draws and a patient's images."""

    updates = ("net",)
    touches_data = True
    loss_bound = 10.0

    def __init__(self, name: str = "regression", noise: float = 0.1, every: int = 1) -> None:
        self.name = name
        self.noise = noise
        self.every = every
        self.optimizer = Adam(0.05)
        self.batches: list[int] = []

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        self.batches.append(B)
        return {"eps": self.noise * torch.randn(B, M, K, generator=rng)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        assert records is not None
        predicted = networks["net"](records.fields["image"].flatten(2)).squeeze(-1)
        error = (predicted - records.fields["class"])[..., None] + draws["eps"]
        return (error.square().mean(dim=2) * records.weights["patient"]).sum(dim=1)


class Follower(Objective):
    """Sees no data: draws the second network towards the first."""

    name = "follower"
    updates = ("second",)
    touches_data = False
    loss_bound = 10.0

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.optimizer = Adam(0.05)
        self.batches: list[int] = []

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        self.batches.append(B)
        return {"x": torch.randn(B, PIXELS, generator=rng)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        assert records is None
        return (networks["second"](draws["x"]) - networks["net"](draws["x"])).square().mean(dim=1)


class Patient(Follower):
    """Waits one step longer after each of its turns, and keeps the mean of what it was shown."""

    def due(self, step: int, memory: Memory) -> bool:
        return int(memory.get("waited", torch.tensor(0))) >= int(memory.get("turns", torch.tensor(0)))

    def remember(self, networks: Mapping[str, nn.Module], draws: Draws | None, memory: Memory) -> Memory:
        zero = torch.tensor(0)
        if draws is None:
            return {**memory, "waited": memory.get("waited", zero) + 1}
        return {"waited": zero, "turns": memory.get("turns", zero) + 1, "shown": draws["x"].double().mean()}


class ScriptedRandom(SecretRandom):
    """Noise from a stream of its own, so that runs on neighbouring data can share it."""

    def __init__(self, key: int = 0) -> None:
        super().__init__(bytes([key]) * 32)
        self._noise = SecretRandom(bytes([key + 1]) * 32)

    def gaussian(self, shape: torch.Size | tuple[int, ...], std: float) -> Tensor:
        return self._noise.gaussian(shape, std)


def plan(**changes: Any) -> LocalPlan:
    values: dict[str, Any] = {
        "steps": 4,
        "batch": 3,
        "sampling_rate": 0.5,
        "images": 2,
        "multiplicity": 2,
        "chunk": 2,
        "device": "cpu",
        "mechanism": None,
    }
    return LocalPlan(**{**values, **changes})


def site(counts: list[int], seed: int = 0, images: Tensor | None = None) -> SiteData:
    """Patients with `counts` images each, in mixed order; pixel 0 of an image is its patient's number."""
    rng = torch.Generator().manual_seed(seed)
    owner = torch.tensor([p for p, count in enumerate(counts) for _ in range(count)], dtype=torch.int64)
    owner = owner[torch.randperm(len(owner), generator=rng)]
    if images is None:
        images = torch.rand(len(owner), 1, 2, 2, generator=rng) * 2 - 1
        images[:, 0, 0, 0] = owner
        images[:, 0, 1, 1] = torch.arange(len(owner))
    return SiteData(
        site="toy",
        classes=("none", "lesion"),
        images=images,
        labels=owner % 2,
        patients=owner,
        parts=torch.full((len(owner),), int(Part.TRAIN)),
    )


def networks(seed: int = 0) -> dict[str, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {"net": nn.Linear(PIXELS, 1), "second": nn.Linear(PIXELS, 1)}


def cohort(counts: list[int], m: int = 2, seed: int = 0) -> TrainingPatients:
    return TrainingPatients(site(counts, seed), m)


def key(number: int) -> bytes:
    return bytes([number]) * 32


@pytest.fixture(scope="session")
def toy() -> Any:
    """The pieces above, by name."""
    return SimpleNamespace(
        Regression=Regression,
        Follower=Follower,
        Patient=Patient,
        ScriptedRandom=ScriptedRandom,
        Gaussian=Gaussian,
        plan=plan,
        site=site,
        networks=networks,
        cohort=cohort,
        key=key,
        random=lambda number=0: SecretRandom(key(number)),
    )


@pytest.fixture
def flat() -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Tensors by name as one vector, in the names' order."""
    return lambda tensors: torch.cat([tensors[name].flatten() for name in sorted(tensors)])
