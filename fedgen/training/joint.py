"""Objectives that read patients in one step: one sample of them, one vector a patient, one clip, one use of noise.

A patient's gradients of all of them, each for the networks that the objective updates, stand side by side and are
clipped together, so that a step costs what a step of one objective costs (docs/decisions/029). All are taken at the
same parameters; then each objective's own optimizer takes its part.

Which objectives are together is public: those whose turn the number of the step says it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedgen.families.contract import PROGRESS, Draws, Objective
from fedgen.task.records import Records
from fedgen.training.backends import Backend, Precision, gradients_of
from fedgen.training.functional import trainable
from fedgen_privacy.gradients.joint import jointly, named, parted
from fedgen_privacy.gradients.protocol import Gradients, Params


class JointBatch(NamedTuple):
    """The patients of a step.

    Attributes:
        records: of all objectives.
        draws: by objective's name.
    """

    records: Records
    draws: dict[str, Draws]


@dataclass(frozen=True)
class Joint:
    """Objectives that step together.

    Attributes:
        objectives: at least one, all of which read data.
    """

    objectives: tuple[Objective, ...]

    @property
    def loss_bounds(self) -> tuple[float, ...]:
        """Of each objective's reported loss."""
        return tuple(objective.loss_bound for objective in self.objectives)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the objectives, in the order of their losses."""
        return tuple(objective.name for objective in self.objectives)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> dict[str, Draws]:
        """Each objective's random numbers for B records of M images with K draws each."""
        return {objective.name: objective.draw(B, M, K, rng) for objective in self.objectives}

    def on_the_way(self, drawn: dict[str, Draws], progress: float) -> dict[str, Draws]:
        """The draws of a step at this share of the study, for those that ask how far it is."""
        told = dict(drawn)
        for objective in self.objectives:
            if objective.paced:
                draws = drawn[objective.name]
                like = next(iter(draws.values()))
                told[objective.name] = {
                    **draws,
                    PROGRESS: torch.full((len(like),), progress, device=like.device),
                }
        return told

    def parameters(self, networks: Mapping[str, nn.Module]) -> Params:
        """What is updated, by `objective:network/parameter`; a network that two objectives update is there twice."""
        return named({objective.name: trainable(objective, networks) for objective in self.objectives})

    def values(self, networks: Mapping[str, nn.Module]) -> Params:
        """The same, to be differentiated at."""
        return {name: parameter.detach() for name, parameter in self.parameters(networks).items()}

    def dimension(self, networks: Mapping[str, nn.Module]) -> int:
        """d, coordinates of a record's vector: what is updated, and a loss of each objective."""
        return sum(p.numel() for p in self.parameters(networks).values()) + len(self.objectives)

    def batch(self, batch: JointBatch) -> dict[str, tuple[Records, Draws]]:
        """The batch as `gradients` takes it."""
        return {name: (batch.records, batch.draws[name]) for name in self.names}

    def gradients(
        self,
        networks: Mapping[str, nn.Module],
        backend: Backend = "vmap",
        precision: Precision = "float32",
    ) -> Gradients:
        """A record's gradients of all objectives as one vector, with their losses (b, objectives)."""
        return self.gradients_by(lambda objective: gradients_of(objective, networks, backend, precision))

    def gradients_by(self, of: Callable[[Objective], Gradients]) -> Gradients:
        """The same, from the gradients of each."""
        return jointly({objective.name: of(objective) for objective in self.objectives})

    def parts(self, gradients: Params) -> list[tuple[Objective, dict[str, Tensor]]]:
        """Each objective with its part of the vector, by `network/parameter`."""
        found = parted(gradients)
        return [(objective, found[objective.name]) for objective in self.objectives]


def reading(objectives: Sequence[Objective], step: int) -> Joint | None:
    """The objectives that read data in a step, counted from 1; None where the step reads nobody.

    The accountant counts by this alone, so that nothing an objective has seen may change it.
    """
    due = tuple(each for each in objectives if each.touches_data and step % each.every == 0)
    return Joint(due) if due else None


def mechanism_steps(objectives: Sequence[Objective], local_steps: int) -> int:
    """How often the data are touched in `local_steps`: what one round costs in the accountant."""
    return sum(reading(objectives, step) is not None for step in range(1, local_steps + 1))
