"""Mistakes with several objectives: parts that are each within C, so that a patient's vector is within sqrt(n) C."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedgen.families.contract import Objective
from fedgen.selftest.subject import Subject, local_steps
from fedgen.training.local import LocalPlan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.gradients.joint import named, parted
from fedgen_privacy.gradients.protocol import Batch, Gradients, Params
from fedgen_privacy.integer_step import integer_sum
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import GaussianStep, PrivateGradient


def several(subject: Subject) -> bool:
    """Whether the family has several objectives on data, so that there are parts."""
    return len(subject.objectives) > 1


@dataclass(frozen=True)
class ClipsParts(GaussianStep):
    """Clips each objective's part to C."""

    def __call__(
        self, per_record: Gradients, params: Params, batch: Batch | None, random: SecretRandom
    ) -> PrivateGradient:
        """A step of each part."""
        steps = []
        for number, part in enumerate(parted(params)):
            bounds = self.loss_bounds[number : number + 1]
            step = GaussianStep(
                self.clipping_norm, self.noise_multiplier, self.expected_batch, bounds, self.chunk
            )
            steps.append(step(_only(per_record, params, part, number), _of(params, part), batch, random))
        return PrivateGradient(
            {name: tensor for step in steps for name, tensor in step.gradients.items()},
            tuple(loss for step in steps for loss in step.losses),
            tuple(std for step in steps for std in step.loss_stds),
        )


def integers_of_parts(
    per_record: Gradients,
    params: Params,
    batch: Batch | None,
    *,
    loss_bounds: tuple[float, ...],
    **options: Any,
) -> Tensor:
    """The integers of each objective's part, each within the sensitivity."""
    return torch.cat(
        [
            integer_sum(
                _only(per_record, params, part, number),
                _of(params, part),
                batch,
                loss_bounds=loss_bounds[number : number + 1],
                **options,
            )
            for number, part in enumerate(parted(params))
        ]
    )


def train_apart(
    objectives: tuple[Objective, ...],
    networks: Mapping[str, nn.Module],
    cohort: TrainingPatients,
    plan: LocalPlan,
    random: SecretRandom,
) -> list[Params]:
    """A step of each objective by itself, where one step of all is accounted."""
    apart = [local_steps((objective,), networks, cohort, plan, random) for objective in objectives]
    return [
        {name: tensor for part in step for name, tensor in part.items()} for step in zip(*apart, strict=True)
    ]


def _of(params: Params, part: str) -> Params:
    return named({part: parted(params)[part]})


def _only(per_record: Gradients, whole: Params, part: str, number: int) -> Gradients:
    """The gradients and the loss of one part."""

    def of_part(params: Params, batch: Batch, *, chunk: int) -> Iterator[tuple[Params, Tensor]]:
        for gradients, losses in per_record({**whole, **params}, batch, chunk=chunk):
            yield _of(gradients, part), losses[:, number]

    return of_part
