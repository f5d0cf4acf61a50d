"""A site's part of one aggregation: the update of local steps, integers of a distributed step, or central images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from fedgen.errors import FederationError, StudyError
from fedgen.families.contract import objectives_of
from fedgen.federation.terms.noise import round_share
from fedgen.recipe import Recipe
from fedgen.study.study import Study
from fedgen.training import central_images, distributed
from fedgen.training.local import LocalTrainer
from fedgen.training.optimizer_state import load_state, state_tensors
from fedgen.training.outbox import RoundResult
from fedgen.training.plan import SitePlan, local_plan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.distributed import NoiseShare
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.secagg import Parameters


@dataclass(frozen=True)
class Part:
    """What a site does when it is asked for a round.

    Args:
        recipe: of the study as the site approved it.
        cohort: the site's training patients.
        plan: of the site.
        roster_size: sites of the study, None where nobody knows and nothing depends on it.
    """

    recipe: Recipe
    cohort: TrainingPatients
    plan: SitePlan
    roster_size: int | None

    def check(self, round: int) -> None:
        """Refuse before anything is spent what could not be finished.

        Raises:
            StudyError: the sites' shares of the noise cannot be made.
        """
        if self._study.privacy.mode == "distributed":
            self._share(round)

    def result(
        self,
        round: int,
        model: Tensor,
        networks: dict[str, nn.Module],
        optimizer: Mapping[str, Tensor],
        random: SecretRandom,
    ) -> RoundResult:
        """Do the work of one aggregation, after it was charged.

        Args:
            round: of the aggregation, from 1.
            model: (P,) what the coordinator sent.
            networks: with that model; changed in place.
            optimizer: the site's moments after its last round.
            random: secret, or seeded where there is no privacy.

        Raises:
            FederationError: the result is not finite.
        """
        for network in networks.values():
            network.to(self.plan.local.device)
        if self._study.privacy.mode == "distributed":
            return RoundResult(self._padded(self._integers(round, networks, random)), {}, {})
        if self._study.is_warm_start(round):
            return RoundResult(
                self._padded(central_images.local_part(self._study, self.cohort, random)), {}, {}
            )
        return self._update(round, model, networks, optimizer, random)

    def _update(
        self,
        round: int,
        model: Tensor,
        networks: dict[str, nn.Module],
        optimizer: Mapping[str, Tensor],
        random: SecretRandom,
    ) -> RoundResult:
        trainer = LocalTrainer(
            objectives_of(self.recipe.family), networks, self._study.training.learning_rate
        )
        load_state(trainer.optimizers, optimizer)
        losses = trainer.run(self.cohort, local_plan(self._study, self.plan, round), random)
        update = self.recipe.layout.flatten(networks) - model
        if not bool(torch.isfinite(update).all()):
            raise FederationError("Training gave values that are not finite: lower training.learning_rate.")
        return RoundResult(
            update=self._padded(update),
            losses={name: (loss.value, loss.std) for name, loss in losses.items()},
            optimizer=state_tensors(trainer.optimizers),
        )

    def _integers(self, round: int, networks: dict[str, nn.Module], random: SecretRandom) -> Tensor:
        if self._study.is_warm_start(round):
            return central_images.distributed_part(self._study, self.cohort, self._share(round), random)
        objective = distributed.private_objective(objectives_of(self.recipe.family))
        plan = local_plan(self._study, self.plan, round)
        return torch.from_numpy(
            distributed.site_part(objective, networks, self.cohort, plan, self._share(round), random)
        )

    def _share(self, round: int) -> NoiseShare:
        if self.roster_size is None:
            raise StudyError("privacy.mode distributed needs a roster of sites, and this site has none.")
        return round_share(self._study, self._secure, self.roster_size, round)

    def _padded(self, vector: Tensor) -> Tensor:
        """The vector with zeros up to the length that every message of the study has."""
        missing = self.recipe.vector_length - len(vector)
        return torch.cat([vector, vector.new_zeros(missing)]) if missing else vector

    @cached_property
    def _secure(self) -> Parameters:
        return self.recipe.parameters(self.roster_size or 0)

    @property
    def _study(self) -> Study:
        return self.recipe.study
