"""What all mechanisms do alike: plans and what they cost, queries before training, and the model's moving average."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from fedgen.errors import FederationError, StudyError
from fedgen.mechanisms.contract import Ingredients, JoinedVector, Mechanism, SitePlan
from fedgen.mechanisms.evidence_noise import evidence_spend
from fedgen.mechanisms.plan import check_cohort, plan_site
from fedgen.mechanisms.schedule import Query, Turn, Turns
from fedgen.mechanisms.session import session_parameters
from fedgen.mechanisms.statement import NOTHING, Statement, limits
from fedgen.mechanisms.statistics import advanced
from fedgen.run.checkpoint import Checkpoint
from fedgen.training.central_images import MeanImages
from fedgen.training.local import LocalPlan
from fedgen.training.losses import Losses
from fedgen_privacy.accounting import Spend, epsilon_rdp, epsilon_reported
from fedgen_privacy.secagg import Parameters

#: The model (P,), the coordinator's optimizer state, and the losses after a round.
Step = tuple[Tensor, dict[str, Tensor], Losses]


class Planned(Mechanism):
    """A mechanism whose plans follow from the study's schedule."""

    def __init__(self, made_of: Ingredients) -> None:
        self._of = made_of
        never = [why for each in made_of.objectives if (why := each.why_never(self._steps_in_a_row()))]
        if never:
            raise StudyError(f"{never[0]}.")
        self.turns = Turns(
            made_of.privacy,
            made_of.training.rounds,
            made_of.training.local_steps,
            made_of.contributions,
            self._before(),
            private=self.private,
            discrete=self.discrete,
            evidence=evidence_spend(made_of.privacy, made_of.evidence),
        )
        self._parameters = cache(lambda sites: session_parameters(self.vector, made_of.aggregation, sites))

    def _steps_in_a_row(self) -> int:
        """Steps that objectives without data count their turns by."""
        return self._of.training.local_steps

    def _before(self) -> tuple[Query, ...]:
        of, asked = self._of, self._of.privacy.central_images
        if asked is None:
            return ()
        if not of.objectives:
            raise StudyError(
                f"privacy.central_images prepares a family's steps, and {of.family} takes none: leave it out."
            )
        statistic = MeanImages(
            asked, of.task, of.objectives, self._without_privacy, of.training.learning_rate, of.seed
        )
        return (Query(statistic, asked.images, asked.sampling_rate, asked.noise_multiplier),)

    @property
    def _without_privacy(self) -> LocalPlan:
        """What the coordinator runs on data that are no patients', or on none."""
        training = self._of.training
        return LocalPlan(
            steps=training.local_steps,
            batch=training.batch_patients,
            sampling_rate=1.0,
            images=self._of.images_per_patient,
            multiplicity=self._of.privacy.multiplicity,
            chunk=training.microbatch,
            device=training.device,
            mechanism=None,
            precision=training.precision,
        )

    @property
    def _weighted(self) -> bool:
        return self._of.aggregation.weighting == "patients" and self.vector.joined == "mean"

    def parameters(self, sites: int) -> Parameters:
        """See `Mechanism.parameters`."""
        return self._parameters(sites)

    def admit(self, patients: int, site: str) -> None:
        """See `Mechanism.admit`."""
        check_cohort(
            self._of,
            patients,
            site,
            weighted=self._weighted,
            private=self.private,
            batches=self.turns.gradients,
        )

    def plan(self, patients: int, site: str, device: str | None = None) -> SitePlan:
        """See `Mechanism.plan`."""
        self.admit(patients, site)
        return plan_site(
            self._of, self.turns, patients, weighted=self._weighted, private=self.private, device=device
        )

    def stated(self, noise_multiplier: float, sampling_rate: float, steps: int) -> Spend | None:
        """See `Mechanism.stated`."""
        if noise_multiplier <= 0:
            return None
        return Spend(noise_multiplier, sampling_rate, steps, self.discrete)

    def spend(self, round: int, base: Spend | None) -> Spend | None:
        """See `Mechanism.spend`."""
        return None if base is None else self.turns.spend(round, base)

    @property
    def evidence(self) -> Spend | None:
        """See `Mechanism.evidence`."""
        return self.turns.evidence

    def statement(self, spends: Sequence[Spend]) -> Statement:
        """See `Mechanism.statement`."""
        if not self.private:
            return NOTHING
        delta = self._of.privacy.delta
        return Statement(
            epsilon_reported(spends, delta),
            epsilon_rdp(spends, delta),
            self.accountant,
            self._holds_against(),
            (*limits(noised_evidence=self.evidence is not None), *self._limits()),
        )

    @abstractmethod
    def _holds_against(self) -> str:
        """Whom the promise holds against."""

    @abstractmethod
    def _limits(self) -> tuple[str, ...]:
        """What the promise does not say, beside what none says."""

    def _padded(self, vector: Tensor) -> Tensor:
        """The vector with zeros up to the length that every message of the study has."""
        missing = self.vector.length - len(vector)
        return torch.cat([vector, vector.new_zeros(missing)]) if missing else vector

    def advance(
        self, state: Checkpoint, joined: JoinedVector, sites: int | None
    ) -> tuple[Checkpoint, Losses]:
        """See `Mechanism.advance`.

        The average's decay warms up as min(ema, (1 + r) / (10 + r)) in round r of the training, so that the untrained
        weights are forgotten; what a query has made begins the average anew.
        """
        turn = self.turns.turn(state.round + 1)
        if turn.query is not None:
            model, server, losses = self._after_query(state, turn, turn.query, joined, sites)
        else:
            model, server, losses = self._after_steps(state, turn, joined, sites)
        if not bool(torch.isfinite(model).all()):
            raise FederationError(
                f"The model is not finite after round {turn.round}: lower training.learning_rate."
            )
        r = turn.training
        decay = min(self._of.training.ema, (1 + r) / (10 + r)) if turn.query is None else 0.0
        ema: Tensor = decay * state.ema + (1 - decay) * model
        return Checkpoint(turn.round, model, ema, state.study_sha256, server), losses

    def _after_query(
        self, state: Checkpoint, turn: Turn, query: Query, joined: JoinedVector, sites: int | None
    ) -> Step:
        means, noise = self._means(turn, query, joined, sites)
        networks = advanced(query, self._networks(state.model), means, noise)
        return self._of.layout.flatten(networks), dict(state.server), {}

    def _networks(self, model: Tensor) -> dict[str, nn.Module]:
        device = self._of.training.device
        return {name: network.to(device) for name, network in self._of.networks(model).items()}

    @abstractmethod
    def _means(
        self, turn: Turn, query: Query, joined: JoinedVector, sites: int | None
    ) -> tuple[Tensor, float]:
        """(>= query.length,) the means of the samples from what the sites sent, and the noise in each number."""

    @abstractmethod
    def _after_steps(self, state: Checkpoint, turn: Turn, joined: JoinedVector, sites: int | None) -> Step:
        """The model after steps of the family's objectives."""

    def local_plan(self, turn: Turn, plan: SitePlan) -> LocalPlan:
        """What a site runs in one round of the training, by the schedule of noise and clipping."""
        local = self.spanned(plan.local, turn)
        if local.mechanism is None or plan.spend is None:
            return local
        noise = replace(
            local.mechanism,
            clipping_norm=turn.clipping_norm,
            noise_multiplier=self.turns.spend(turn.round, plan.spend).noise_multiplier,
        )
        return replace(local, mechanism=noise)

    def spanned(self, plan: LocalPlan, turn: Turn) -> LocalPlan:
        """The plan of a round that knows how far the training is."""
        rounds = self._of.training.rounds
        return replace(plan, span=((turn.training - 1) / rounds, turn.training / rounds))
