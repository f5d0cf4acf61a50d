"""A round that asks for a statistic: one bounded vector a patient, summed over Poisson samples of the patients.

The bound does not rest on the statistic's word: every vector is scaled to norm 1 at most before it is summed, and one
that is not finite counts nothing. What is made of the sums is post-processing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.mechanisms.schedule import Query
from fedgen.training.local import LocalPlan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.distributed import NoiseShare
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.integer_step import rounded_sum, with_noise
from fedgen_privacy.random import SecretRandom


def bounded(vectors: Tensor) -> Tensor:
    """(B, d) vectors of L2 norm at most 1: longer ones scaled down, those that are not finite zero."""
    finite = torch.isfinite(vectors).all(dim=1, keepdim=True)
    vectors = torch.where(finite, vectors, torch.zeros_like(vectors)).float()
    return vectors * (1.0 / vectors.norm(dim=1).clamp_min(1e-12)).clamp(max=1.0)[:, None]


def mean_of_site(
    query: Query,
    networks: Mapping[str, nn.Module],
    cohort: TrainingPatients,
    plan: LocalPlan,
    noise_multiplier: float | None,
    random: SecretRandom,
) -> Tensor:
    """A site's sums over its expected number of patients in a sample, (samples * d,) float32.

    Args:
        query: what is asked for.
        networks: with the model of the round.
        cohort: the site's training patients; their number, without canaries, is public.
        plan: says how patients are read.
        noise_multiplier: sigma of the noise in each coordinate of a sum; None for none.
        random: samples and noise.
    """
    expected = (query.sampling_rate or plan.sampling_rate) * cohort.n_patients
    means = []
    for _ in range(query.samples):
        total = _vectors(query, networks, cohort, plan, random).sum(dim=0).cpu()
        if noise_multiplier is not None:
            total = total + random.gaussian(total.shape, noise_multiplier)
        means.append(total / expected)
    return torch.cat(means)


def levels_of_site(
    query: Query,
    networks: Mapping[str, nn.Module],
    cohort: TrainingPatients,
    plan: LocalPlan,
    share: NoiseShare,
    random: SecretRandom,
) -> Tensor:
    """A site's sums in levels with its share of the noise, (samples * d,) int32; arguments as of `mean_of_site`."""
    sums = (rounded_sum(_vectors(query, networks, cohort, plan, random), share) for _ in range(query.samples))
    return torch.cat([torch.from_numpy(with_noise(total, share, random)) for total in sums])


def advanced(
    query: Query, networks: Mapping[str, nn.Module], means: Tensor, noise: float
) -> dict[str, nn.Module]:
    """The networks after the query.

    Args:
        query: what was asked for.
        networks: with the model of the round; may be changed in place.
        means: (>= samples * d,) the samples' means; behind them there may be zeros.
        noise: standard deviation of the privacy noise in each number.
    """
    rows = means[: query.length].reshape(query.samples, query.statistic.length)
    return query.statistic.advance(networks, rows, noise)


@torch.no_grad()
def _vectors(
    query: Query,
    networks: Mapping[str, nn.Module],
    cohort: TrainingPatients,
    plan: LocalPlan,
    random: SecretRandom,
) -> Tensor:
    """(B, d) bounded vectors of a Poisson sample; B may be 0, which is noised like any other."""
    statistic = query.statistic
    patients = random.poisson_sample(cohort.n_records, query.sampling_rate or plan.sampling_rate)
    if not len(patients):
        return torch.zeros(0, statistic.length)
    records = cohort.records(patients, random)
    draws = statistic.draw(len(patients), plan.images, plan.multiplicity, random.generator())
    batch = tree_map(lambda tensor: tensor.to(plan.device), (records, draws))
    return bounded(statistic.vectors(networks, *batch))
