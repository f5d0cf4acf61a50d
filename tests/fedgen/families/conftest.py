"""Small families with perturbed weights, ragged patients, and the loss of one record for torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedgen.families.contract import Family, Objective
from fedgen.families.parts.noise_records import noise_records
from fedgen.families.registry import family_class, specs
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.selftest.tasks import IMAGES, first_task
from fedgen.study.study import Study
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import Task, image_of_class
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen_privacy.gradients.protocol import records_of, size_of
from fedgen_privacy.gradients.tree import tree_map

CLASSES = ("a", "b", "c")


#: As in tests/conftest.py: of the other families' volumes the ordinary run builds and draws some.
VOLUMES = ("vae", "latent")


def every_kind(*, steps: bool = False) -> list[Any]:
    """Each family, or each that takes steps, with the axes of what it makes: of these tests also what translates."""
    return [
        pytest.param(
            (name, axes),
            id=f"{name}-{axes}D",
            marks=[pytest.mark.slow] if axes == 3 and name not in VOLUMES else [],
        )
        for name, spec in specs().items()
        for axes, image in IMAGES.items()
        if first_task(spec, image, CLASSES) is not None and not (steps and spec.sums)
    ]


@pytest.fixture(params=every_kind())
def kind(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Every family, with two axes and with three where it makes volumes."""
    found: tuple[str, int] = request.param
    return found


@pytest.fixture(params=every_kind(steps=True))
def step_kind(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Those of them that take steps, and are not made of sums alone."""
    found: tuple[str, int] = request.param
    return found


@pytest.fixture
def image(request: pytest.FixtureRequest) -> ImageSpec:
    """What the family of the test makes; a slice where it has none."""
    named = [name for name in ("kind", "step_kind") if name in request.fixturenames]
    return IMAGES[request.getfixturevalue(named[0])[1] if named else 2]


def task_for(name: str, image: ImageSpec) -> Task:
    """The first that the family can do."""
    task = first_task(specs()[name], image, CLASSES)
    assert task is not None
    return task


def standing(name: str, image: ImageSpec) -> Family:
    """A family with its small options; on public images of noise where it cannot do without a prior."""
    family = family_class(name)(task_for(name, image), specs()[name].small)
    if not specs()[name].needs_prior:
        return family
    donors = torch.rand(40, *image.shape, generator=torch.Generator().manual_seed(7)) * 2 - 1
    return family.on(Prior(analytic(image.shape, 12).space, donors))


@pytest.fixture
def family(kind: tuple[str, int], image: ImageSpec) -> Family:
    return standing(kind[0], image)


@pytest.fixture
def family_on() -> Callable[[str, ImageSpec], Family]:
    return standing


@pytest.fixture
def stepping(step_kind: tuple[str, int], image: ImageSpec) -> Family:
    """Every family that takes steps."""
    return standing(step_kind[0], image)


@pytest.fixture
def study_of(other_tasks: dict[str, dict[str, Any]]) -> Callable[..., Study]:
    """`study_of("vae", size=16, beta=2.0)`: with the family's small options, and these."""

    def build(family: str, size: int = 16, **options: Any) -> Study:
        sections = other_tasks.get(family, {})
        return Study.model_validate(
            {
                **sections,
                "study": {"name": "test"},
                "aggregation": {"secure": False},
                "data": {"image_size": (size, size), "labels": CLASSES, **sections.get("data", {})},
                "model": {
                    "family": family,
                    family: {**specs()[family].small.model_dump(), **options},
                    **({"prior": {"phantom": {}}} if specs()[family].needs_prior else {}),
                },
            }
        )

    return build


@pytest.fixture
def given_of(task: Task) -> Callable[[int], dict[str, Tensor]]:
    """`given_of(5)`: what a sample of five is given, of noise."""

    def build(n: int) -> dict[str, Tensor]:
        fields = noise_records(task, (1,) * n, torch.Generator().manual_seed(11)).fields
        made = {field.name for field in task.makes}
        return {name: tensor[:, 0] for name, tensor in fields.items() if name not in made}

    return build


@pytest.fixture
def perturbed() -> Callable[..., dict[str, nn.Module]]:
    """Networks away from their initial point: MONAI's zero output convolutions hide every other gradient."""

    def build(family: Family, dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, nn.Module]:
        torch.manual_seed(seed)
        networks = family.networks()
        for network in networks.values():
            network.to(dtype)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return networks

    return build


@pytest.fixture
def task(request: pytest.FixtureRequest, image: ImageSpec) -> Task:
    """What the family of the test does; an image of its class where it has none."""
    named = [name for name in ("kind", "step_kind") if name in request.fixturenames]
    return task_for(request.getfixturevalue(named[0])[0], image) if named else image_of_class(image, CLASSES)


@pytest.fixture
def ragged(task: Task) -> Callable[..., Records]:
    """Patients with 3, 1, 2 and 3 images."""

    def build(dtype: torch.dtype = torch.float32, asked: Task | None = None) -> Records:
        records = noise_records(asked or task, (3, 1, 2, 3), torch.Generator().manual_seed(5))
        records = tree_map(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, records)
        # A third in float32 is none in float64.
        there = {group: (weights > 0).to(dtype) for group, weights in records.weights.items()}
        shares = {group: own / own.sum(dim=1, keepdim=True).clamp_min(1) for group, own in there.items()}
        return records._replace(weights=shares)

    return build


@pytest.fixture
def draw_for() -> Callable[..., dict[str, Tensor]]:
    def build(objective: Objective, K: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        draws = objective.draw(4, 3, K, torch.Generator().manual_seed(7))
        return {name: d.to(dtype) if d.is_floating_point() else d for name, d in draws.items()}

    return build


@pytest.fixture
def looped() -> Callable[..., list[Tensor]]:
    """`looped(objective, networks, batch)`: the gradient of each record by ordinary autograd, one at a time.

    Every backend has given the same, in chunks, to 1e-9. `one(b)` is record b alone where that is more than a cut.
    """

    def build(
        objective: Objective,
        networks: dict[str, nn.Module],
        batch: tuple[Records, dict[str, Tensor]],
        one: Callable[[int], tuple[Records, dict[str, Tensor]]] | None = None,
    ) -> list[Tensor]:
        params = trainable(objective, networks)
        values = {name: parameter.detach() for name, parameter in params.items()}
        vectors, losses = [], []
        for b in range(size_of(batch)):
            loss = objective.loss(networks, *(records_of(batch, b, b + 1) if one is None else one(b)))
            gradients = torch.autograd.grad(loss.sum(), list(params.values()))
            vectors.append(torch.cat([gradient.flatten() for gradient in gradients]))
            losses.append(loss.item())
        for backend in BACKENDS:
            b = 0
            for found, told in gradients_of(objective, networks, backend)(values, batch, chunk=2):
                for own in torch.cat([found[name].flatten(1) for name in params], dim=1):
                    assert (own - vectors[b]).norm() < 1e-9 * vectors[b].norm(), (objective.name, backend, b)
                    b += 1
                assert told.tolist() == pytest.approx(losses[b - len(told) : b], rel=1e-9)
            assert b == len(vectors)
        return vectors

    return build


@pytest.fixture
def record_loss() -> Callable[..., tuple[Callable[..., Tensor], dict[str, dict[str, Tensor]]]]:
    """The loss of ONE record as a function of the updated parameters, as torch.func wants it."""

    def build(
        objective: Objective, networks: dict[str, nn.Module]
    ) -> tuple[Callable[..., Tensor], dict[str, dict[str, Tensor]]]:
        def apply(name: str, params: dict[str, dict[str, Tensor]]) -> Callable[..., Any]:
            if name not in params:
                return networks[name]
            return lambda *args: functional_call(networks[name], params[name], args)

        def loss(params: dict[str, dict[str, Tensor]], record: Records, draws: Any) -> Tensor:
            batch, drawn = tree_map(lambda tensor: tensor[None], (record, draws))
            applied = {name: apply(name, params) for name in networks}
            return objective.loss(applied, batch, drawn)[0]

        updated = {n: {k: v.detach() for k, v in networks[n].named_parameters()} for n in objective.updates}
        return loss, updated

    return build
