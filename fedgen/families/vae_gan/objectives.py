"""An objective as terms of a way: which networks it moves, and whether it reads patients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.conditioning import condition_of, drawn_fields
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.vae_gan.terms import Passes, Term
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Radford et al. 2016: less momentum, against oscillation of players that learn from each other.
BETAS = (0.5, 0.999)


class _OfTerm(Objective):
    """A term as a loss.

    Args:
        name: in logs and results.
        updates: networks that learn by it.
        term: the loss of a row.
        loss_bound: of what is reported.
        task: whose images they are.
        latent_size: of a latent.
        learning_rate: of Adam.
    """

    def __init__(
        self,
        name: str,
        updates: tuple[str, ...],
        term: Term,
        loss_bound: float,
        *,
        task: Task,
        latent_size: int,
        learning_rate: float,
    ) -> None:
        self.name, self.updates, self.term, self.loss_bound = name, updates, term, loss_bound
        self.task, self.latent_size = task, latent_size
        self.optimizer = Adam(learning_rate, BETAS)


class OnPatients(_OfTerm):
    """A term on patients' images, beside as many of the model's own with the same conditions."""

    touches_data = True

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`eps` of the posterior and `z` of the prior, (B, M, K, latent_size) standard normal each."""
        shape = (B, M, K, self.latent_size)
        return {name: torch.randn(shape, generator=rng, device=rng.device) for name in ("eps", "z")}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError(f"the objective {self.name} needs records")
        weights = records.weights["patient"]
        images, given = stacked(self.task, records.fields), condition_of(self.task, records.fields, weights)
        x, y = fold(images, given, draws["z"].shape[2])
        way = Passes(networks, x, y, rows(draws["eps"]), rows(draws["z"]))
        return patient_mean(self.term(way), weights)


class OnPrior(_OfTerm):
    """A term on the model's own images, with conditions that nobody has; it reads no patient, and is free."""

    touches_data = False

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`z`: (B, M, K, latent_size) standard normal; the task's conditions by name, (B, M, K, ...)."""
        z = torch.randn(B, M, K, self.latent_size, generator=rng, device=rng.device)
        return {"z": z, **drawn_fields(self.task, (B, M, K), rng)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each of B groups of M*K images, (B,)."""
        if records is not None:
            raise ValueError(f"the objective {self.name} must not see records")
        z = rows(draws["z"])
        y = condition_of(self.task, {name: rows(draw) for name, draw in draws.items()}, z[:, 0])
        losses = self.term(Passes(networks, None, y, None, z))
        return losses.reshape(draws["z"].shape[0], -1).mean(dim=1)
