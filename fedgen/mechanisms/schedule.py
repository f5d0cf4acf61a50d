"""A study's aggregations: which contribution each asks for, at what noise and clip, and what all of it costs a site.

First come queries that stand before the training, then the training's rounds: each of the family's statistics in one
round, and its objectives in all that are left. A family of statistics alone has as many rounds as statistics, whatever
the study says of rounds and batches: each is asked for once, of every patient, since one sum over all of them tells
more at the same epsilon than several over a few.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

from fedgen.errors import StudyError
from fedgen.families.contract import Contribution, Objective, Statistic
from fedgen.study.training import PrivacySection, Schedule
from fedgen.training.joint import mechanism_steps
from fedgen_privacy.accounting import Spend, calibrate_noise, epsilon_rdp


@dataclass(frozen=True)
class Query:
    """A statistic, and how it is asked for in a round.

    Attributes:
        statistic: what is summed.
        samples: independent samples of the patients, each with a sum of its own.
        sampling_rate: of each sample; None for the study's.
        noise_multiplier: sigma of each sum, over the bound 1 of a patient's vector; None where it is calibrated
            with the rest of the study.
    """

    statistic: Statistic
    samples: int = 1
    sampling_rate: float | None = None
    noise_multiplier: float | None = None

    @property
    def length(self) -> int:
        """Numbers of all samples together."""
        return self.samples * self.statistic.length


@dataclass(frozen=True)
class Turn:
    """One aggregation.

    Attributes:
        round: its number, from 1.
        training: number of the training's round, from 1; 0 for what comes before it.
        query: what it asks for; None for steps of the family's objectives.
        noise_factor: on the noise multiplier of the training's first round.
        clipping_norm: C of a gradient.
    """

    round: int
    training: int
    query: Query | None
    noise_factor: float
    clipping_norm: float


class Turns:
    """All aggregations of a study.

    Args:
        privacy: what the study asks for.
        rounds: of the training, where the family has objectives.
        local_steps: of a site in a round.
        contributions: of the family.
        before: queries that stand before the training, a round each.
        private: whether there is noise.
        discrete: whether it is integer noise.
        evidence: what audit and evaluation cost a patient after the last aggregation; None where they have no noise.

    Raises:
        StudyError: there are fewer rounds than contributions to ask for.
    """

    def __init__(
        self,
        privacy: PrivacySection,
        rounds: int,
        local_steps: int,
        contributions: tuple[Contribution, ...],
        before: tuple[Query, ...],
        *,
        private: bool,
        discrete: bool,
        evidence: Spend | None = None,
    ) -> None:
        self._privacy = privacy
        self.evidence = evidence
        self._before = before
        self._private, self._discrete = private, discrete
        objectives = tuple(each for each in contributions if isinstance(each, Objective))
        self._queries = tuple(Query(each) for each in contributions if isinstance(each, Statistic))
        #: Whether the family takes steps.
        self.gradients = bool(objectives)
        self._rounds = rounds if self.gradients else len(self._queries)
        self._steps = mechanism_steps(objectives, local_steps)
        least = len(self._queries) + self.gradients
        if self._rounds < least:
            raise StudyError(
                f"training.rounds is {rounds}, but this family asks for {least} different contributions, each in a "
                f"round of its own: set training.rounds to {least} or more."
            )

    @property
    def rounds(self) -> int:
        """Aggregations in all."""
        return len(self._before) + self._rounds

    @property
    def longest_query(self) -> int:
        """Numbers of the longest query; 0 where there is none."""
        return max((query.length for query in (*self._before, *self._queries)), default=0)

    @property
    def steps(self) -> int:
        """Private steps of a round of the training; 0 where patients would never be read."""
        return self._steps or len(self._queries[:1])

    def turn(self, round: int) -> Turn:
        """The aggregation of that number, from 1."""
        if round <= len(self._before):
            return Turn(round, 0, self._before[round - 1], 1.0, self._privacy.clipping_norm)
        r, schedule = round - len(self._before), self._privacy.schedule
        return Turn(
            round,
            r,
            self._query(r),
            _factor(schedule, schedule.noise_factor, r),
            _factor(schedule, schedule.clipping_factor, r) * self._privacy.clipping_norm,
        )

    def _query(self, training_round: int) -> Query | None:
        return self._queries[training_round - 1] if training_round <= len(self._queries) else None

    def sampling_rate(self, asked: float) -> float:
        """q of the training at a site, where the study asks for this one."""
        return asked if self.gradients else 1.0

    def spend(self, round: int, base: Spend) -> Spend:
        """What one aggregation costs a site.

        Args:
            round: of the aggregation, from 1.
            base: noise and sampling rate of the training's first round at the site.
        """
        turn = self.turn(round)
        sigma = turn.noise_factor * base.noise_multiplier
        if turn.query is None:
            return replace(base, noise_multiplier=sigma)
        query = turn.query
        return Spend(
            query.noise_multiplier or sigma,
            query.sampling_rate or base.sampling_rate,
            query.samples,
            self._discrete,
        )

    def history(self, base: Spend, rounds: int | None = None) -> list[Spend]:
        """What the first `rounds` aggregations cost a site, or all and the evidence; one spend for each kind."""
        merged: dict[tuple[float, float], Spend] = {}
        for round in range(1, (self.rounds if rounds is None else rounds) + 1):
            spend = self.spend(round, base)
            key = (spend.noise_multiplier, spend.sampling_rate)
            merged[key] = replace(spend, steps=spend.steps + (merged[key].steps if key in merged else 0))
        evidence = [] if rounds is not None or self.evidence is None else [self.evidence]
        return [*merged.values(), *evidence]

    @property
    def fixed(self) -> tuple[Spend, ...]:
        """What costs as much whatever the training's noise: the queries before it, and the evidence after it."""
        if not self._private:
            return ()
        queries = tuple(
            Spend(query.noise_multiplier, query.sampling_rate, query.samples, self._discrete)
            for query in self._before
            if query.noise_multiplier is not None and query.sampling_rate is not None
        )
        return queries if self.evidence is None else (*queries, self.evidence)

    def calibrated(self, sampling_rate: float) -> Spend:
        """What the training's first round costs, with the noise that keeps the whole study within its epsilon.

        Raises:
            PrivacyRefusedError: no noise does.
        """
        phases: dict[float, int] = {}
        for round in range(len(self._before) + 1, self.rounds + 1):
            turn = self.turn(round)
            steps = self.steps if turn.query is None else turn.query.samples
            phases[turn.noise_factor] = phases.get(turn.noise_factor, 0) + steps
        sigma = calibrate_noise(
            epsilon=self._privacy.epsilon,
            delta=self._privacy.delta,
            sampling_rate=sampling_rate,
            steps=tuple(phases.items()),
            discrete=self._discrete,
            besides=self.fixed,
        )
        return Spend(sigma, sampling_rate, self.steps, self._discrete)

    def epsilon_after(self, base: Spend, delta: float, rounds: int) -> float:
        """Epsilon at `delta` of the first `rounds` aggregations at a site, by RDP: an upper bound."""
        return epsilon_rdp(self.history(base, rounds), delta)


def _factor(schedule: Schedule, factors: tuple[float, ...], training_round: int) -> float:
    """The factor of the last point that was reached; 1 before the first."""
    reached = bisect_right(schedule.from_round, training_round)
    return factors[reached - 1] if factors and reached else 1.0
