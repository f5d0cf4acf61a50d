"""A toy whose truth is known, families trained on it, and each record's gradient by each way there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedgen.families.contract import Family, Objective, objectives_of
from fedgen.families.registry import family_class, specs
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import Field, Task, image_of_class
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen_privacy.gradients.protocol import pieces

FLAT, VOLUME = ImageSpec(channels=1, size=(16, 16)), ImageSpec(channels=1, size=(8, 8, 8))
AGE = Field("covariates", "covariates", parts=(1,))

Trained = tuple[Family, dict[str, nn.Module], list[float]]


@pytest.fixture
def family_of() -> Callable[..., Family]:
    """`family_of("vae", task, iaf_steps=2)`: with its small options, but for these."""

    def build(name: str, task: Task | None = None, **options: Any) -> Family:
        whole = {**specs()[name].small.model_dump(), **options}
        made = specs()[name].options.model_validate(whole)
        return family_class(name)(task or image_of_class(FLAT, ("left", "right")), made)

    return build


def two_sides(n: int, size: Sequence[int] = (16, 16), seed: int = 0) -> Records:
    """n patients with an image each: class 0 bright on the left, 1 on the right, by 0.4 to 0.8."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    bright = 0.4 + 0.4 * torch.rand(n, generator=rng)
    left = torch.where(labels == 0, bright, -bright)
    images = torch.empty(n, 1, 1, *size)
    half = size[-1] // 2
    wide = left.reshape(n, *[1] * (images.ndim - 1))
    images[..., :half], images[..., half:] = wide, -wide
    noisy = images + 0.05 * torch.randn(images.shape, generator=rng)
    return Records({"image": noisy.clamp(-1, 1), "class": labels[:, None]}, {"patient": torch.ones(n, 1)})


@pytest.fixture
def trained() -> Callable[..., Trained]:
    """Networks after some steps on records, with the first objective's loss at each."""

    def train(family: Family, records: Records, steps: int, batch: int = 16, rate: float = 1.0) -> Trained:
        torch.manual_seed(0)
        networks, rng = family.networks(), torch.Generator().manual_seed(0)
        objectives = objectives_of(family)
        optimizers = {
            each.name: torch.optim.Adam(
                list(trainable(each, networks).values()),
                lr=rate * each.optimizer.learning_rate,
                betas=each.optimizer.betas,
            )
            for each in objectives
        }
        losses = []
        for step in range(1, steps + 1):
            some = torch.randint(len(records.weights["patient"]), (batch,), generator=rng)
            part = Records(*({name: t[some] for name, t in tensors.items()} for tensors in records))
            for each in objectives:
                if step % each.every:
                    continue
                draws = each.draw(batch, part.weights["patient"].shape[1], 1, rng)
                loss = each.loss(networks, part if each.touches_data else None, draws).mean()
                if each is objectives[0]:
                    losses.append(float(loss.detach()))
                params = list(trainable(each, networks).values())
                for parameter, gradient in zip(params, torch.autograd.grad(loss, params), strict=True):
                    parameter.grad = gradient
                optimizers[each.name].step()
        return family, networks, losses

    return train


@pytest.fixture
def sides() -> Callable[..., Records]:
    return two_sides


@pytest.fixture
def right_sides() -> Callable[[Family, dict[str, nn.Module]], float]:
    """Share of drawn images that are brighter on the side of their class, by 0.4 at least."""

    def share(family: Family, networks: dict[str, nn.Module], n: int = 64) -> float:
        labels = torch.arange(n) % 2
        images = family.sample(networks, {"class": labels}, n, torch.Generator().manual_seed(5))
        half = images.shape[-1] // 2
        left = (images[..., :half].flatten(1).mean(dim=1) - images[..., half:].flatten(1).mean(dim=1)) / 2
        return float((torch.where(labels == 0, left, -left) > 0.2).float().mean())

    return share


def _flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradient.flatten(1) for gradient in gradients.values()], dim=1)


@pytest.fixture
def error_of_gradients(perturbed) -> Callable[..., tuple[float, float]]:
    """Largest relative error of a record's gradient by any backend, in float64, and share of parameters with one.

    The truth is one record at a time through the modules themselves.
    """

    def measure(family: Family, objective: Objective, records: Records) -> tuple[float, float]:
        networks = perturbed(family, torch.float64)
        B, M = records.weights["patient"].shape
        rng = torch.Generator().manual_seed(7)
        drawn = {
            name: draw.double() if draw.is_floating_point() else draw
            for name, draw in objective.draw(B, M, 2, rng).items()
        }
        parameters = trainable(objective, networks)
        truth, losses = [], []
        for one in pieces((records, drawn), 1):
            loss = objective.loss(networks, *one).sum()
            found = torch.autograd.grad(loss, list(parameters.values()))
            truth.append(torch.cat([gradient.flatten() for gradient in found]))
            losses.append(loss.detach())
        expected = torch.stack(truth)
        together = objective.loss(networks, records, drawn).detach()
        assert torch.allclose(together, torch.stack(losses), rtol=1e-9)
        values = {name: parameter.detach() for name, parameter in parameters.items()}
        worst = 0.0
        for backend in BACKENDS:
            per_record = gradients_of(objective, networks, backend)
            actual = torch.cat([_flat(found) for found, _ in per_record(values, (records, drawn), chunk=3)])
            worst = max(worst, float(((actual - expected).norm(dim=1) / expected.norm(dim=1)).max()))
        return worst, float((expected != 0).any(dim=0).double().mean())

    return measure


@pytest.fixture
def patients() -> Callable[..., Records]:
    """Four patients with 2, 1, 2 and 2 images of noise, in float64, for an image of a class."""

    def build(spec: ImageSpec = FLAT, classes: int = 2) -> Records:
        rng = torch.Generator().manual_seed(5)
        counts = torch.tensor([2, 1, 2, 2])
        present = (torch.arange(2)[None] < counts[:, None]).double()
        images = torch.rand(4, 2, *spec.shape, generator=rng, dtype=torch.float64) * 2 - 1
        labels = torch.randint(classes, (4, 2), generator=rng)
        return Records(
            {
                "image": images * present.reshape(4, 2, *[1] * (images.ndim - 2)),
                "class": labels * present.long(),
            },
            {"patient": present / counts[:, None]},
        )

    return build
