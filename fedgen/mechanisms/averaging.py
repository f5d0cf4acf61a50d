"""Mechanisms whose sites take steps of their own, and send by how much the model has changed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from fedgen.errors import FederationError
from fedgen.mechanisms.base import Planned, Step
from fedgen.mechanisms.contract import AtSite, JoinedVector, VectorSpec
from fedgen.mechanisms.schedule import Query, Turn
from fedgen.mechanisms.statistics import mean_of_site
from fedgen.run.checkpoint import Checkpoint
from fedgen.training.local import LocalTrainer
from fedgen.training.optimizer_state import load_state, state_tensors
from fedgen.training.outbox import RoundResult
from fedgen.training.server_optimizer import server_update
from fedgen_privacy.random import SecretRandom


class Averaging(Planned):
    """FedAvg (McMahan et al. 2017) over local steps, with whatever noise the plan has in each."""

    @cached_property
    def vector(self) -> VectorSpec:
        """Float32: the update of the model, or the means of a query if they are longer."""
        of = self._of
        update = of.layout.size if of.objectives else 0
        # Beside a query's mean the noise in it travels as the noise of a loss that is always 0, so that the
        # coordinator knows that of the sites' mean, whatever their weights.
        return VectorSpec(
            max(update, self.turns.longest_query), "mean", tuple(each.name for each in of.contributions)
        )

    def contribute(
        self,
        round: int,
        networks: dict[str, nn.Module],
        state: Mapping[str, Tensor],
        random: SecretRandom,
        site: AtSite,
    ) -> RoundResult:
        """See `Mechanism.contribute`."""
        turn, local = self.turns.turn(round), site.plan.local
        if self.private and (site.plan.spend is None or local.mechanism is None):
            raise ValueError(f"a plan without noise was given to privacy.mode {self.name}")
        for network in networks.values():
            network.to(local.device)
        if turn.query is not None:
            spend = self.spend(round, site.plan.spend)
            sigma = None if spend is None else spend.noise_multiplier
            means = mean_of_site(turn.query, networks, site.cohort, local, sigma, random)
            return RoundResult(self._padded(means), self._noise_of(turn.query, sigma, site), {})
        before = self._of.layout.flatten(networks)
        trainer = LocalTrainer(self._of.objectives, networks, self._of.training.learning_rate)
        load_state(trainer.optimizers, state)
        losses = trainer.run(site.cohort, self.local_plan(turn, site.plan), random)
        update = self._of.layout.flatten(networks) - before
        if not bool(torch.isfinite(update).all()):
            raise FederationError("Training gave values that are not finite: lower training.learning_rate.")
        return RoundResult(
            update=self._padded(update),
            losses={name: (loss.value, loss.std) for name, loss in losses.items()},
            optimizer=state_tensors(trainer.optimizers),
        )

    def _noise_of(self, query: Query, sigma: float | None, site: AtSite) -> dict[str, tuple[float, float]]:
        if query.statistic not in self._of.contributions:
            return {}
        expected = (query.sampling_rate or site.plan.local.sampling_rate) * site.plan.patients
        return {query.statistic.name: (0.0, 0.0 if sigma is None else sigma / expected)}

    def _means(
        self, turn: Turn, query: Query, joined: JoinedVector, sites: int | None
    ) -> tuple[Tensor, float]:
        _, noise = joined.losses.get(query.statistic.name, (0.0, 0.0))
        return joined.vector, noise

    def _after_steps(self, state: Checkpoint, turn: Turn, joined: JoinedVector, sites: int | None) -> Step:
        # Behind the model's numbers there may be zeros, where a query is the longer vector.
        mean = joined.vector[: len(state.model)]
        update, server = server_update(self._of.training.server, mean, state.server)
        return state.model + update, server, joined.losses
