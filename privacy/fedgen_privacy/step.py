"""One differentially private gradient: per-record gradients, one clip each, noise on the sum.

A record is whatever the loss averages into one number: in fedgen a patient with several images and several
noise draws, so the guarantee is about patients (Abadi et al., CCS 2016, with user-level records).

Gradients come from `fedgen_privacy.gradients`, chunk by chunk, and only one chunk's exist at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen_privacy.gradients.protocol import Batch, Gradients, Params
from fedgen_privacy.random import SecretRandom

#: Share of the clipping norm given to the reported losses; the gradient keeps sqrt(1 - share^2) = 98 % of it.
LOSS_SHARE = 0.2


def loss_units(clipping_norm: float, loss_bounds: Sequence[float]) -> tuple[float, ...]:
    """What one unit of each reported loss is in the clipped vector: n of them at their bounds have norm share C.

    Args:
        clipping_norm: C > 0.
        loss_bounds: of each of the n losses, > 0.
    """
    return tuple(LOSS_SHARE * clipping_norm / len(loss_bounds) ** 0.5 / bound for bound in loss_bounds)


def clamped_losses(losses: Tensor, loss_bounds: Sequence[float]) -> list[Tensor]:
    """Each loss of the records in [0, its bound], (b,) one by one; one that is not a number counts as the bound.

    Args:
        losses: (b,) of one loss, or (b, n) of n.
        loss_bounds: of each.
    """
    columns = losses.reshape(len(losses), len(loss_bounds)).unbind(1)
    return [
        torch.nan_to_num(column, nan=bound).clamp(0.0, bound)
        for column, bound in zip(columns, loss_bounds, strict=True)
    ]


def clip_factors(gradients: Params, bound: float) -> Tensor:
    """min(1, bound / L2 norm of each record's whole gradient), shape (b,); a non-finite gradient gets 0.

    A record whose gradient is NaN or infinite contributes nothing: multiplying it by any factor would
    poison the sum and so reveal that the record was there.
    """
    squares = torch.stack([g.flatten(1).square().sum(1) for g in gradients.values()]).sum(0)
    factors = (bound / squares.sqrt().clamp_min(torch.finfo(squares.dtype).tiny)).clamp(max=1.0)
    return torch.where(torch.isfinite(squares), factors, torch.zeros_like(factors))


@dataclass(frozen=True)
class ClippedSum:
    """Sum of clipped gradients and of each of the clamped losses over the records of one batch."""

    gradients: Params
    losses: tuple[Tensor, ...]


def clipped_sum(
    per_record: Gradients,
    params: Params,
    batch: Batch | None,
    *,
    bound: float,
    loss_bounds: Sequence[float],
    chunk: int,
) -> ClippedSum:
    """Sum over records of the gradient clipped to L2 norm `bound`, and of each loss clamped to [0, its bound].

    An empty batch (None) sums to zero without a forward pass: Poisson sampling makes empty batches, and
    they must be noised and accounted like any other.
    """
    total = {name: torch.zeros_like(p) for name, p in params.items()}
    total_losses = [torch.zeros(()) for _ in loss_bounds]
    if batch is None:
        return ClippedSum(total, tuple(total_losses))
    for gradients, losses in per_record(params, batch, chunk=chunk):
        factors = clip_factors(gradients, bound)
        for name, g in gradients.items():
            finite = torch.nan_to_num(g, nan=0.0, posinf=0.0, neginf=0.0)
            total[name] += torch.einsum("b,b...->...", factors.to(g.dtype), finite)
        for i, clamped in enumerate(clamped_losses(losses, loss_bounds)):
            total_losses[i] = total_losses[i] + clamped.sum().cpu()
    return ClippedSum(total, tuple(total_losses))


@dataclass(frozen=True)
class PrivateGradient:
    """What a private step may show: noised gradients and the noised mean losses.

    Attributes:
        gradients: by parameter name, divided by the expected batch.
        losses: noised mean losses of the batch; their noise has the standard deviations `loss_stds`.
        loss_stds: known in advance, so printing them reveals nothing.
    """

    gradients: Params
    losses: tuple[float, ...]
    loss_stds: tuple[float, ...]


@dataclass(frozen=True)
class GaussianStep:
    """The Gaussian mechanism on the sum of clipped gradients.

    The mean losses are released by the same mechanism: each is one more coordinate of the vector that is
    clipped and noised. Gradient and losses take sqrt(1 - s^2) C and s C of the clipping norm, so together a
    record changes the vector by at most C.

    Args:
        clipping_norm: C > 0.
        noise_multiplier: sigma >= 0; the noise has standard deviation sigma * C in every coordinate.
        expected_batch: B > 0, a PUBLIC constant. Dividing by the actual batch size, or by one computed
            from the number of records, would make the divisor itself depend on who is in the data.
        loss_bounds: each of a record's losses is reported as at most this; public constants.
        chunk: records whose gradients exist at once.
    """

    clipping_norm: float
    noise_multiplier: float
    expected_batch: float
    loss_bounds: tuple[float, ...]
    chunk: int

    def __call__(
        self, per_record: Gradients, params: Params, batch: Batch | None, random: SecretRandom
    ) -> PrivateGradient:
        """Differentiate, clip, sum, add noise, divide."""
        C, sigma, B = self.clipping_norm, self.noise_multiplier, self.expected_batch
        summed = clipped_sum(
            per_record,
            params,
            batch,
            bound=C * (1.0 - LOSS_SHARE**2) ** 0.5,
            loss_bounds=self.loss_bounds,
            chunk=self.chunk,
        )
        gradients = {
            name: (g + random.gaussian(g.shape, sigma * C).to(g.device)) / B
            for name, g in summed.gradients.items()
        }
        units = loss_units(C, self.loss_bounds)
        noise = random.gaussian((len(units),), sigma * C)
        noised = [
            float(total) * unit + float(added)
            for total, unit, added in zip(summed.losses, units, noise, strict=True)
        ]
        return PrivateGradient(
            gradients,
            tuple(value / unit / B for value, unit in zip(noised, units, strict=True)),
            tuple(sigma * C / unit / B for unit in units),
        )
