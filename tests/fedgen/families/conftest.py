"""Small families with perturbed weights, ragged patients, and the loss of one record for torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedgen.families.contract import Family, Objective
from fedgen.families.registry import family_class, specs
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.selftest.tasks import IMAGES
from fedgen.study.study import Study
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import image_of_class
from fedgen_privacy.gradients.tree import tree_map

CLASSES = ("a", "b", "c")


def small_study(family: str, size: int = 16, **options: Any) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "test"},
            "aggregation": {"secure": False},
            "data": {"image_size": (size, size), "labels": CLASSES},
            "model": {
                "family": family,
                family: {**specs()[family].small.model_dump(), **options},
                **({"prior": {"phantom": {}}} if specs()[family].needs_prior else {}),
            },
        }
    )


@pytest.fixture
def image(request: pytest.FixtureRequest) -> ImageSpec:
    """What the family of the test makes; a slice where it has none."""
    named = [name for name in ("kind", "step_kind") if name in request.fixturenames]
    return IMAGES[request.getfixturevalue(named[0])[1] if named else 2]


def standing(name: str, image: ImageSpec) -> Family:
    """A family with its small options; on public images of noise where it cannot do without a prior."""
    family = family_class(name)(image_of_class(image, CLASSES), specs()[name].small)
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
    name, _ = step_kind
    return family_class(name)(image_of_class(image, CLASSES), specs()[name].small)


@pytest.fixture
def study_of() -> Callable[..., Study]:
    return small_study


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
def ragged(image: ImageSpec) -> Callable[..., Records]:
    """Patients with 3, 1, 2 and 3 images."""

    def build(dtype: torch.dtype = torch.float32, size: int | None = None) -> Records:
        shape = image.shape if size is None else (1, size, size)
        rng = torch.Generator().manual_seed(5)
        counts = torch.tensor([3, 1, 2, 3])
        present = torch.arange(3)[None, :] < counts[:, None]
        images = torch.rand(4, 3, *shape, generator=rng) * 2 - 1
        labels = torch.randint(3, (4, 3), generator=rng)
        here = present.reshape(4, 3, *[1] * len(shape))
        return Records(
            {"image": torch.where(here, images, 0.0).to(dtype), "class": labels * present},
            {"patient": present.to(dtype) / counts[:, None]},
        )

    return build


@pytest.fixture
def draw_for() -> Callable[..., dict[str, Tensor]]:
    def build(objective: Objective, K: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        draws = objective.draw(4, 3, K, torch.Generator().manual_seed(7))
        return {name: d.to(dtype) if d.is_floating_point() else d for name, d in draws.items()}

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
