"""Mode `distributed`: a round is ONE step, whose clipped sum and noise are made by all sites together (DP-FedSGD).

A site's part is a vector of integers (fedgen_privacy.integer_step); the coordinator reads the sum and takes the
optimizer's step. The Adam moments, and the steps of objectives that read no data such as a GAN's generator, are the
coordinator's: they see only what the noise has already covered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.contract import Objective
from fedgen.study.study import Study
from fedgen.training.backends import gradients_of
from fedgen.training.functional import trainable
from fedgen.training.local import LocalPlan, LocalTrainer, LossReport, plan_without_privacy, sampled
from fedgen.training.optimizer_state import load_state, state_tensors
from fedgen.training.spending import clipping_norm, training_round
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.distributed import NoiseShare, noise_share
from fedgen_privacy.integer_step import Ring, integer_sum, read_step, with_noise
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.secagg import Parameters


def private_objective(objectives: tuple[Objective, ...]) -> Objective:
    """The one objective that reads data.

    Raises:
        StudyError: there are several, whose steps would be several sums.
    """
    found = [objective for objective in objectives if objective.touches_data]
    if len(found) != 1:
        raise StudyError(
            f"privacy.mode distributed takes one private step a round, but {len(found)} objectives of this family read "
            "data: use privacy.mode local."
        )
    return found[0]


def dimension(objective: Objective, networks: Mapping[str, nn.Module]) -> int:
    """d, integers in a site's vector: the objective's parameters and the loss."""
    return sum(p.numel() for p in trainable(objective, networks).values()) + 1


def share_of(study: Study, secure: Parameters, sites: int, sigma: float, round: int) -> NoiseShare:
    """Every site's share of the noise in one aggregation of the training.

    Args:
        study: in mode distributed.
        secure: parameters of its secure aggregation.
        sites: n, of the roster.
        sigma: noise multiplier of this round.
        round: of the aggregation.

    Raises:
        StudyError: no honest noise would be left, or the ring has no room.
    """
    return noise_share(
        clipping_norm=clipping_norm(study, training_round(study, round)),
        noise_multiplier=sigma,
        dimension=secure.length,
        expected_batch=float(study.training.batch_patients),
        needed=secure.needed,
        colluders=secure.colluders,
        sites=sites,
    )


def site_part(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    cohort: TrainingPatients,
    plan: LocalPlan,
    share: NoiseShare,
    random: SecretRandom,
) -> Ring:
    """A site's integers of one step, (d,) int32: its patients' clipped sum with its share of the noise."""
    assert plan.mechanism is not None
    records, draws = sampled(objective, cohort, plan, random, random.generator())
    total = integer_sum(
        gradients_of(objective, networks, plan.backend, plan.precision),
        {name: parameter.detach() for name, parameter in trainable(objective, networks).items()},
        None if records is None else (records, draws),
        clipping_norm=plan.mechanism.clipping_norm,
        loss_bound=objective.loss_bound,
        share=share,
        chunk=plan.chunk,
    )
    return with_noise(total, share, random)


def server_step(
    study: Study,
    objectives: tuple[Objective, ...],
    networks: dict[str, nn.Module],
    state: Mapping[str, Tensor],
    levels: Tensor,
    *,
    round: int,
    share: NoiseShare,
    sites: int,
) -> tuple[dict[str, Tensor], dict[str, LossReport]]:
    """The coordinator's step: `networks` are updated in place.

    Args:
        study: in mode distributed.
        objectives: of the family.
        networks: with the model of the round.
        state: the optimizers' moments before.
        levels: (d,) the opened sum.
        round: of the aggregation.
        share: the noise in one site's part.
        sites: how many are in the sum.

    Returns:
        The moments after, and each objective's loss.
    """
    trainer = LocalTrainer(objectives, networks, study.training.learning_rate)
    load_state(trainer.optimizers, dict(state))
    private = private_objective(objectives)
    opened = read_step(
        levels,
        {name: parameter.shape for name, parameter in trainable(private, networks).items()},
        clipping_norm=clipping_norm(study, training_round(study, round)),
        loss_bound=private.loss_bound,
        expected_batch=float(study.training.batch_patients),
        share=share,
        sites=sites,
    )
    losses = {private.name: LossReport(opened.loss, opened.loss_std)}
    rng = _generator(study, round)
    for objective in objectives:
        if objective is private:
            trainer.apply(objective, opened.gradients)
        elif trainer.due(objective, training_round(study, round)):
            losses[objective.name] = trainer.without_data(objective, plan_without_privacy(study), rng)
    return state_tensors(trainer.optimizers), losses


def _generator(study: Study, round: int) -> torch.Generator:
    # A resumed run takes the same step.
    digest = hashlib.sha256(f"server/{study.study.seed}/{round}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
