"""A site's part of a distributed private step: clipped, rounded, summed as integers, with its share of the noise.

What leaves is a vector of integers modulo 2^32 under the masks of a secure aggregation. Nothing in its guarantee rests
on floating point: a record's integers are checked against the sensitivity before they are added, sums of integers are
exact, and the noise is exact (see `distributed` and `discrete_gaussian`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgen_privacy.discrete_gaussian import discrete_gaussian
from fedgen_privacy.distributed import NoiseShare
from fedgen_privacy.gradients.protocol import Batch, Gradients, Params
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import LOSS_SHARE, clamped_losses, clip_factors, loss_units

#: The ring of a secure aggregation, two's complement.
Ring = np.ndarray[Any, np.dtype[np.int32]]
#: Clipping stays this much below C, more than float32 rounding of a norm: no rounded record then exceeds the bound.
MARGIN = 1.0 - 2.0**-12


def integer_sum(
    per_record: Gradients,
    params: Params,
    batch: Batch | None,
    *,
    clipping_norm: float,
    loss_bounds: Sequence[float],
    share: NoiseShare,
    chunk: int,
) -> Tensor:
    """Sum over records of their vectors in levels, int64 (d,): gradients in the order of `params`, then the losses.

    Each loss is one more coordinate of the clipped vector (docs/decisions/005). A record whose integers are longer than
    the sensitivity, which no rounding that we know of can bring about, contributes nothing.
    """
    d = sum(p.numel() for p in params.values()) + len(loss_bounds)
    total = torch.zeros(d, dtype=torch.int64)
    if batch is None:
        return total
    bound = MARGIN * clipping_norm
    units = loss_units(bound, loss_bounds)
    for gradients, losses in per_record(params, batch, chunk=chunk):
        factors = clip_factors(gradients, bound * (1.0 - LOSS_SHARE**2) ** 0.5) * share.scale
        pieces = [*(_levels(g, factors) for g in gradients.values())]
        for clamped, unit in zip(clamped_losses(losses, loss_bounds), units, strict=True):
            pieces.append(torch.round(clamped * (unit * share.scale))[:, None])
        total += _sum_of_fitting(pieces, share)
    return total


def rounded_sum(vectors: Tensor, share: NoiseShare) -> Tensor:
    """Sum of records' vectors in levels, (d,) int64.

    Args:
        vectors: (B, d), each of L2 norm at most the clipping norm that the share is for; a longer one counts nothing.
        share: says what a level is.
    """
    return _sum_of_fitting([(vectors.float() * (MARGIN * share.scale)).round()], share)


def _sum_of_fitting(pieces: list[Tensor], share: NoiseShare) -> Tensor:
    """Sum over records of whole-numbered vectors given in pieces (b, n), without those beyond the sensitivity."""
    # Integers below 2^24 whose squares sum to less than 2^53, or else to more than any bound.
    squares = torch.stack([piece.double().square().sum(dim=1) for piece in pieces]).sum(dim=0)
    fits = squares <= float(share.sensitivity) ** 2
    return torch.cat([piece[fits].to(torch.int64).sum(dim=0) for piece in pieces]).cpu()


def _levels(gradients: Tensor, factors: Tensor) -> Tensor:
    finite = torch.nan_to_num(gradients, nan=0.0, posinf=0.0, neginf=0.0).flatten(1).float()
    return (finite * factors.float()[:, None]).round()


def with_noise(total: Tensor, share: NoiseShare, random: SecretRandom) -> Ring:
    """The sum (d,) int64 with the site's noise, modulo 2^32 as int32."""
    noised = total.numpy() + discrete_gaussian(random, len(total), share.std)
    # Wrapping is a function of the sum over all sites; cutting one site's tail off would not be.
    return (noised & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


@dataclass(frozen=True)
class OpenedStep:
    """What the coordinator reads in an opened sum.

    Attributes:
        gradients: by parameter name, summed over records and divided by the expected batch.
        losses: noised mean losses of the batch.
        loss_stds: standard deviation of the noise in each.
    """

    gradients: Params
    losses: tuple[float, ...]
    loss_stds: tuple[float, ...]


def read_step(
    levels: Tensor,
    shapes: dict[str, torch.Size],
    *,
    clipping_norm: float,
    loss_bounds: Sequence[float],
    expected_batch: float,
    share: NoiseShare,
    sites: int,
) -> OpenedStep:
    """Gradients and losses of a sum of `sites` contributions; the inverse of `integer_sum`, up to the noise.

    Args:
        levels: (d,) sum over the sites.
        shapes: of the parameters, in the order in which they were summed.
        expected_batch: B, patients of all sites together.
    """
    mean = levels.double() / (share.scale * expected_batch)
    units = loss_units(MARGIN * clipping_norm, loss_bounds)
    pieces = torch.split(mean[: -len(units)], [shape.numel() for shape in shapes.values()])
    gradients = {
        name: piece.reshape(shape).float()
        for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
    }
    return OpenedStep(
        gradients,
        tuple(float(value) / unit for value, unit in zip(mean[-len(units) :], units, strict=True)),
        tuple(share.total_std(sites) / unit / expected_batch for unit in units),
    )
