"""Mode `distributed`: a round is ONE step, whose clipped sum and noise are made by all sites together (DP-FedSGD).

A site's part is a vector of integers (fedgen_privacy.integer_step); the coordinator reads the sum and takes the
optimizer's step. The Adam moments, and the steps of objectives that read no data such as a GAN's generator, are the
coordinator's: they see only what the noise has already covered.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cache, cached_property

import torch
from torch import Tensor, nn

from fedgen.errors import FederationError, StudyError
from fedgen.families.contract import Objective
from fedgen.mechanisms.base import Planned, Step
from fedgen.mechanisms.contract import AtSite, Ingredients, JoinedVector, VectorSpec
from fedgen.mechanisms.schedule import Query, Turn
from fedgen.mechanisms.statistics import levels_of_site
from fedgen.run.checkpoint import Checkpoint
from fedgen.training.joint import Joint, reading
from fedgen.training.local import LocalTrainer, LossReport, sampled
from fedgen.training.optimizer_state import load_state, state_tensors
from fedgen.training.outbox import RoundResult
from fedgen_privacy.distributed import NoiseShare, noise_share
from fedgen_privacy.integer_step import integer_sum, read_step, with_noise
from fedgen_privacy.random import SecretRandom

#: Expected patients of a step, over the study's public batch, from which on its sum may leave the ring.
ROOM = 1.5


class SharedNoise(Planned):
    """Integer sums under secure aggregation, each site with its share of one noise."""

    name = "distributed"
    private = True
    discrete = True
    pooled = True
    accountant = "RDP at whole orders"
    joined_words = "sum of the patients' bounded vectors, with the sites' noise,"
    part_words = "part"

    def __init__(self, made_of: Ingredients) -> None:
        super().__init__(made_of)
        private = self._private
        if not private and self.turns.steps == 0:
            raise StudyError("No contribution of this family reads data, so that there is nothing to sum.")
        if private and all(objective.every > 1 for objective in private):
            raise StudyError(
                f"In privacy.mode {self.name} a round is one step, but the objective {private[0].name} reads data only "
                f"in one of {private[0].every}, so that some rounds would sum nothing: use privacy.mode local."
            )
        self._share_of = cache(self._made_share)

    def _steps_in_a_row(self) -> int:
        # A step is a round, and the coordinator counts those.
        return self._of.training.rounds

    @cached_property
    def vector(self) -> VectorSpec:
        """Integers: all that objectives which read data update, and their losses, or a query's sums if longer."""
        steps = Joint(self._private).dimension(self._of.template()) if self._private else 0
        # The losses of a step are among its integers.
        return VectorSpec(max(steps, self.turns.longest_query), "sum", ())

    def require_room(self, expected: float) -> None:
        """See `Mechanism.require_room`."""
        batch, rate = self._of.training.batch_patients, self._of.privacy.sampling_rate
        assert rate is not None
        asked = self.turns.sampling_rate(rate) / rate
        if expected > ROOM * batch * asked:
            raise StudyError(
                f"The sites together expect {expected:.0f} patients in a step, by privacy.sampling_rate, but "
                f"training.batch_patients is {batch}: set it to {math.ceil(expected / asked)}, or lower the rate."
            )

    def check(self, round: int, sites: int | None) -> None:
        """See `Mechanism.check`."""
        if sites is None:
            raise StudyError(
                f"privacy.mode {self.name} needs a roster of sites, and this site has none: ask the coordinator for "
                "the study's manifest."
            )
        self.share(self.turns.turn(round), sites)

    @cached_property
    def _sigma(self) -> float:
        """Noise multiplier of the training's first round, the same at every site."""
        assert self._of.privacy.sampling_rate is not None
        rate = self.turns.sampling_rate(self._of.privacy.sampling_rate)
        return self.turns.calibrated(rate).noise_multiplier

    def share(self, turn: Turn, sites: int) -> NoiseShare:
        """Every site's share of the noise in one aggregation.

        Args:
            turn: of the study.
            sites: n, of the roster.

        Raises:
            StudyError: no honest noise would be left, or the ring has no room.
            PrivacyRefusedError: no noise keeps the study within its epsilon.
        """
        query = turn.query
        if query is None:
            C, batch = turn.clipping_norm, float(self._of.training.batch_patients)
        else:
            C, batch = 1.0, self._expected(query)
        fixed = None if query is None else query.noise_multiplier
        return self._share_of(C, fixed or turn.noise_factor * self._sigma, batch, sites)

    def _made_share(self, C: float, sigma: float, expected_batch: float, sites: int) -> NoiseShare:
        secure = self.parameters(sites)
        return noise_share(
            clipping_norm=C,
            noise_multiplier=sigma,
            dimension=secure.length,
            expected_batch=expected_batch,
            needed=secure.needed,
            colluders=secure.colluders,
            sites=sites,
        )

    def surplus(self, sites: int) -> float:
        """See `Mechanism.surplus`: the shares of sites that may be missing, or tell what they know, come on top."""
        turn = self.turns.turn(self.turns.rounds)
        share = self.share(turn, sites)
        C = 1.0 if turn.query is not None else turn.clipping_norm
        return share.total_std(sites) / (C * turn.noise_factor * self._sigma)

    def _expected(self, query: Query) -> float:
        """Patients of all sites expected in a sample, by the study's public numbers alone."""
        rate = self._of.privacy.sampling_rate
        assert rate is not None
        return (
            (query.sampling_rate or self.turns.sampling_rate(rate)) * self._of.training.batch_patients / rate
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
        self.check(round, site.sites)
        assert site.sites is not None
        share = self.share(turn, site.sites)
        for network in networks.values():
            network.to(local.device)
        if turn.query is not None:
            levels = levels_of_site(turn.query, networks, site.cohort, local, share, random)
        else:
            levels = self._step_of_site(turn, networks, site, share, random)
        return RoundResult(self._padded(levels), {}, {})

    def _step_of_site(
        self,
        turn: Turn,
        networks: dict[str, nn.Module],
        site: AtSite,
        share: NoiseShare,
        random: SecretRandom,
    ) -> Tensor:
        """(d,) int32: the site's patients' clipped sum with its share of the noise."""
        joint, plan = self._joint(turn), self.local_plan(turn, site.plan)
        assert plan.mechanism is not None
        batch = sampled(joint, site.cohort, plan, random, random.generator(), 1)
        total = integer_sum(
            joint.gradients(networks, plan.backend, plan.precision),
            joint.values(networks),
            None if batch is None else joint.batch(batch),
            clipping_norm=plan.mechanism.clipping_norm,
            loss_bounds=joint.loss_bounds,
            share=share,
            chunk=plan.chunk,
        )
        return torch.from_numpy(with_noise(total, share, random))

    @property
    def _private(self) -> tuple[Objective, ...]:
        """The objectives that read data, in one round or another."""
        return tuple(objective for objective in self._of.objectives if objective.touches_data)

    def _joint(self, turn: Turn) -> Joint:
        """The objectives that read data in a round, which is a step."""
        joint = reading(self._of.objectives, turn.training)
        if joint is None:
            raise StudyError("A family of statistics alone has no step to take.")
        return joint

    def _shared(self, turn: Turn, sites: int | None) -> NoiseShare:
        if sites is None:
            raise FederationError(
                f"privacy.mode {self.name} needs secure aggregation, and this run has none: start it anew with it."
            )
        return self.share(turn, sites)

    def _means(
        self, turn: Turn, query: Query, joined: JoinedVector, sites: int | None
    ) -> tuple[Tensor, float]:
        share, expected = self._shared(turn, sites), self._expected(query)
        return joined.vector / (share.scale * expected), share.total_std(len(joined.sites)) / expected

    def _after_steps(self, state: Checkpoint, turn: Turn, joined: JoinedVector, sites: int | None) -> Step:
        share, joint = self._shared(turn, sites), self._joint(turn)
        networks = self._networks(state.model)
        trainer = LocalTrainer(self._of.objectives, networks, self._of.training.learning_rate)
        load_state(trainer.optimizers, dict(state.server))
        opened = read_step(
            joined.vector[: joint.dimension(networks)],
            {name: parameter.shape for name, parameter in joint.parameters(networks).items()},
            clipping_norm=turn.clipping_norm,
            loss_bounds=joint.loss_bounds,
            expected_batch=float(self._of.training.batch_patients),
            share=share,
            sites=len(joined.sites),
        )
        read = zip(joint.names, opened.losses, opened.loss_stds, strict=True)
        losses = {name: LossReport(value, std) for name, value, std in read}
        rng, plan = self._generator(turn.round), self.spanned(self._without_privacy, turn)
        for objective in self._of.objectives:
            if objective is joint.objectives[0]:
                for each, part in joint.parts(opened.gradients):
                    trainer.apply(each, part)
            elif not objective.touches_data and trainer.due(objective, turn.training):
                losses[objective.name] = trainer.without_data(objective, plan, rng, 1)
        told = {name: (report.value, report.std) for name, report in losses.items()}
        return self._of.layout.flatten(networks), state_tensors(trainer.optimizers), told

    def _generator(self, round: int) -> torch.Generator:
        # A resumed run takes the same step.
        digest = hashlib.sha256(f"server/{self._of.seed}/{round}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

    def _holds_against(self) -> str:
        c = max(1, self._of.aggregation.colluders)
        others = "any one of the other sites" if c == 1 else f"any {c} of the other sites"
        return (
            f"a coordinator that follows the protocol, even together with {others}, and anyone who sees the model or "
            "the synthetic images, as long as the remaining sites add the noise that the study asks of them"
        )

    def _limits(self) -> tuple[str, ...]:
        return (
            "The noise is the sites' together: a site that adds less than it should weakens the guarantee of the "
            "others.",
            "A coordinator that breaks the protocol, by sites it made up or by asking a single site, is kept off by "
            "the sites' roster and thresholds, not by the noise.",
        )
