"""One differentially private gradient: per-record gradients, one clip each, noise on the sum.

A record is whatever the loss averages into one number: in fedgen a patient with several images and several
noise draws, so the guarantee is about patients (Abadi et al., CCS 2016, with user-level records).

Gradients come from `fedgen_privacy.gradients`, chunk by chunk, and only one chunk's exist at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen_privacy.gradients.protocol import Batch, Gradients, Params
from fedgen_privacy.random import SecretRandom

#: Share of the clipping norm given to the reported loss; the gradient keeps sqrt(1 - share^2) = 98 % of it.
LOSS_SHARE = 0.2


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
    """Sum of clipped gradients and of clipped losses over the records of one batch."""

    gradients: Params
    loss: Tensor


def clipped_sum(
    per_record: Gradients,
    params: Params,
    batch: Batch | None,
    *,
    bound: float,
    loss_bound: float,
    chunk: int,
) -> ClippedSum:
    """Sum over records of the gradient clipped to L2 norm `bound`, and of the loss clipped to [0, loss_bound].

    An empty batch (None) sums to zero without a forward pass: Poisson sampling makes empty batches, and
    they must be noised and accounted like any other.
    """
    total = {name: torch.zeros_like(p) for name, p in params.items()}
    total_loss = torch.zeros(())
    if batch is None:
        return ClippedSum(total, total_loss)
    for gradients, losses in per_record(params, batch, chunk=chunk):
        factors = clip_factors(gradients, bound)
        for name, g in gradients.items():
            finite = torch.nan_to_num(g, nan=0.0, posinf=0.0, neginf=0.0)
            total[name] += torch.einsum("b,b...->...", factors.to(g.dtype), finite)
        total_loss = total_loss + torch.nan_to_num(losses, nan=loss_bound).clamp(0.0, loss_bound).sum().cpu()
    return ClippedSum(total, total_loss)


@dataclass(frozen=True)
class PrivateGradient:
    """What a private step may show: noised gradients and the noised mean loss.

    Attributes:
        gradients: by parameter name, divided by the expected batch.
        loss: noised mean loss of the batch; its noise has standard deviation `loss_std`.
        loss_std: known in advance, so printing it reveals nothing.
    """

    gradients: Params
    loss: float
    loss_std: float


@dataclass(frozen=True)
class GaussianStep:
    """The Gaussian mechanism on the sum of clipped gradients.

    The mean loss is released by the same mechanism: it is one more coordinate of the vector that is
    clipped and noised. Gradient and loss take sqrt(1 - s^2) C and s C of the clipping norm, so together a
    record changes the vector by at most C.

    Args:
        clipping_norm: C > 0.
        noise_multiplier: sigma >= 0; the noise has standard deviation sigma * C in every coordinate.
        expected_batch: B > 0, a PUBLIC constant. Dividing by the actual batch size, or by one computed
            from the number of records, would make the divisor itself depend on who is in the data.
        loss_bound: a record's loss is reported as at most this; a public constant.
        chunk: records whose gradients exist at once.
    """

    clipping_norm: float
    noise_multiplier: float
    expected_batch: float
    loss_bound: float
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
            loss_bound=self.loss_bound,
            chunk=self.chunk,
        )
        gradients = {
            name: (g + random.gaussian(g.shape, sigma * C).to(g.device)) / B
            for name, g in summed.gradients.items()
        }
        loss_unit = LOSS_SHARE * C / self.loss_bound
        noised = float(summed.loss) * loss_unit + float(random.gaussian((1,), sigma * C))
        return PrivateGradient(gradients, noised / loss_unit / B, sigma * C / loss_unit / B)
