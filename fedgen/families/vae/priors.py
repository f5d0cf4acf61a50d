"""Priors over latents: the standard normal, a mixture of Gaussians that is learned, and a mixture of posteriors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedgen.families.parts.blocks import LinearImage
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.task.image_spec import ImageSpec

LOG_TWO_PI = math.log(2 * math.pi)


class DiagonalGaussians(NamedTuple):
    """Diagonal Gaussians (..., d) each, by mean and ln of the variance."""

    mu: Tensor
    logvar: Tensor


def log_density(z: Tensor, of: DiagonalGaussians) -> Tensor:
    """ln N(z; mu, diag exp(logvar)) in nats: (..., d) to (...)."""
    squares = (z - of.mu).square() * torch.exp(-of.logvar)
    return -0.5 * (squares + of.logvar + LOG_TWO_PI).sum(dim=-1)


def kl(q: DiagonalGaussians, p: DiagonalGaussians) -> Tensor:
    """KL(q || p) of diagonal Gaussians in nats: (..., d) to (...)."""
    ratio = torch.exp(q.logvar - p.logvar) + (q.mu - p.mu).square() * torch.exp(-p.logvar)
    return 0.5 * (ratio - 1 - q.logvar + p.logvar).sum(dim=-1)


def kl_to_standard_normal(q: DiagonalGaussians) -> Tensor:
    """KL(q || N(0, I)) in nats: (..., d) to (...) (Kingma and Welling 2014, app. B)."""
    return 0.5 * (q.mu.square() + q.logvar.exp() - 1 - q.logvar).sum(dim=-1)


def mixed(z: Tensor, components: DiagonalGaussians, log_shares: Tensor) -> Tensor:
    """ln of a mixture's density, (b, n), at z (b, n, d), of components (b, k, d) with ln of their shares (b, n, k)."""
    each = log_density(z[:, :, None], DiagonalGaussians(*(part[:, None] for part in components)))
    return torch.logsumexp(each + log_shares, dim=2)


def chosen(log_shares: Tensor, uniform: Tensor) -> Tensor:
    """Which component (n,) uniform numbers (n,) in [0, 1) fall on, of ln of shares (n, k) that sum to 1."""
    borders = log_shares.exp().cumsum(dim=1)[:, :-1]
    return (uniform[:, None] >= borders).sum(dim=1)


class Shares(nn.Module):
    """pi_k(y), the components' shares for a condition; a linear map before the softmax.

    For a condition, because posteriors of another condition's images are no place to draw from.
    """

    def __init__(self, components: int, condition: int) -> None:
        super().__init__()
        self.logits = nn.Linear(condition + 1, components, bias=False)
        nn.init.zeros_(self.logits.weight)

    def forward(self, condition: Tensor) -> Tensor:
        """ln pi (n, k) for a condition (n, width)."""
        always = condition.new_ones(len(condition), 1)
        return torch.log_softmax(self.logits(torch.cat([condition, always], dim=1)), dim=1)


class MixturePrior(nn.Module):
    """N(z; m_k, diag s_k^2) for k = 1, 2, ..., learned.

    Where several components stand together they describe what one Gaussian cannot; a posterior need not be pulled into
    the middle of a hole.

    Args:
        components: how many.
        d: dimensions of z.
    """

    def __init__(self, components: int, d: int) -> None:
        super().__init__()
        # Together about a standard normal, apart from each other.
        self.means = nn.Parameter(torch.randn(components, d) * 0.5**0.5)
        self.logvars = nn.Parameter(torch.full((components, d), math.log(0.5)))

    def forward(self, z: Tensor, log_shares: Tensor) -> Tensor:
        """ln p(z) in nats, (n,): of z (n, d) with ln of the components' shares (n, k)."""
        components = DiagonalGaussians(self.means[None], self.logvars[None])
        return mixed(z[None], components, log_shares[None])[0]

    def drawn(self, noise: Tensor, which: Tensor) -> Tensor:
        """z (n, d) of the components `which` (n,), made of standard normal noise (n, d)."""
        return self.means[which] + torch.exp(0.5 * self.logvars[which]) * noise


class PseudoInputs(nn.Module):
    """Images and conditions that are learned, whose posteriors are the prior (VampPrior, Tomczak and Welling 2018).

    Images of half the size, enlarged: a prior needs no detail, and fewer numbers are fewer to be noised.
    """

    def __init__(self, components: int, image: ImageSpec, condition: int) -> None:
        super().__init__()
        self.components = components
        self.images = LinearImage(components, image, reduction=2, gain=1.0)
        nn.init.normal_(self.images.linear.weight, std=0.5)
        self.conditions = nn.Linear(components, condition) if condition else None

    def forward(self, rows: Tensor) -> Tensor:
        """What the encoder reads, (n, C + width, *size), of which pseudo-input each row is, (n, components) one-hot."""
        images = torch.tanh(self.images(rows))
        width = rows[:, :0] if self.conditions is None else self.conditions(rows)
        return with_condition_maps(images, width)
