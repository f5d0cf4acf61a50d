"""One setting of the benchmark: a family with its default options, an image size, and a batch of patients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from fedgen.families.contract import Draws, Objective, objectives_of
from fedgen.recipe import Recipe
from fedgen.study.study import Study
from fedgen.task.records import Records


@dataclass(frozen=True)
class Case:
    """B patients of m images with K draws each, size x size pixels."""

    family: str
    size: int
    B: int = 16
    m: int = 1
    K: int = 1

    @property
    def title(self) -> str:
        """As a table names it."""
        return f"{self.family} {self.size}x{self.size}"


@dataclass(frozen=True)
class Built:
    """The family's objective on data with fresh networks, and one batch."""

    objective: Objective
    networks: dict[str, nn.Module]
    records: Records
    draws: Draws


def build(case: Case) -> Built:
    """Networks away from their start, where many gradients are zero, and noise for images."""
    study = Study.model_validate(
        {
            "study": {"name": "benchmark"},
            "data": {"image_size": (case.size, case.size), "labels": ("none", "lesion")},
            "model": {"family": case.family},
        }
    )
    family = Recipe.of(study).family
    (objective,) = (objective for objective in objectives_of(family) if objective.touches_data)
    torch.manual_seed(0)
    networks = family.networks()
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    rng = torch.Generator().manual_seed(1)
    B, m = case.B, case.m
    records = Records(
        {
            "image": torch.rand(B, m, 1, case.size, case.size, generator=rng) * 2 - 1,
            "class": torch.randint(2, (B, m), generator=rng),
        },
        {"patient": torch.full((B, m), 1 / m)},
    )
    return Built(objective, networks, records, objective.draw(B, m, case.K, rng))
