"""Geometry-aware sampling: latents where decoded images are, found by Hamiltonian Monte Carlo.

A VAE's latent space is curved by what it encodes (RHVAE: Chadebec et al. 2021). Here in the form of Chadebec and
Allassonniere 2022 ("A Geometric Perspective on Variational Autoencoders"), which trains nothing more: with the Gaussian
posteriors N(mu_i, Sigma_i) of some images the metric is

    G(z) = sum_i Sigma_i^-1 exp(-(z - mu_i)^T Sigma_i^-1 (z - mu_i) / rho^2) + lambda exp(-tau |z|^2) I

and latents are drawn uniformly with respect to it, from the density proportional to sqrt(det G(z)).

In the papers the images are the training images, whose posteriors would be a release of patients' latents. Here they
are images that the model itself has made: whatever follows from them costs no privacy. The price is that the metric
knows where the model's own images lie, and not where patients do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

#: lambda of the paper.
REGULARISATION = 1e-2
#: Leapfrog steps of an iteration, and their length in units of the posteriors' standard deviation.
LEAPS, LEAP = 10, 0.1


@dataclass(frozen=True)
class Metric:
    """G(z), which is diagonal since the posteriors are.

    Attributes:
        centres: (N, d) mu_i.
        precisions: (N, d) diagonals of Sigma_i^-1.
        reach: rho^2, squared.
    """

    centres: Tensor
    precisions: Tensor
    reach: float

    @classmethod
    def of(cls, mu: Tensor, logvar: Tensor) -> Metric:
        """Of N > 1 posteriors (N, d); rho is the largest distance of one from the nearest other."""
        precisions = torch.exp(-logvar)
        squares = _squares(mu, mu, precisions)
        squares.fill_diagonal_(float("inf"))
        return cls(mu, precisions, float(squares.min(dim=1).values.max().clamp_min(1e-6)))

    def diagonal(self, z: Tensor) -> Tensor:
        """The diagonal of G at z (n, d), (n, d)."""
        near = torch.exp(-_squares(z, self.centres, self.precisions) / self.reach)
        # tau = 1 / d: far from all centres sqrt(det G) falls as a standard normal does.
        far = REGULARISATION * torch.exp(-z.square().mean(dim=1, keepdim=True))
        return near @ self.precisions + far

    def log_density(self, z: Tensor) -> Tensor:
        """ln sqrt(det G(z)), (n,)."""
        return 0.5 * self.diagonal(z).log().sum(dim=1)


def _squares(z: Tensor, centres: Tensor, precisions: Tensor) -> Tensor:
    """(z - mu_i)^T Sigma_i^-1 (z - mu_i), (n, N)."""
    return ((z[:, None] - centres).square() * precisions).sum(dim=2)


def hamiltonian(
    log_density: Callable[[Tensor], Tensor], start: Tensor, scale: Tensor, momenta: Tensor, uniform: Tensor
) -> Tensor:
    """Hamiltonian Monte Carlo (Neal 2011), n chains side by side.

    Args:
        log_density: of the target up to a constant, (n, d) to (n,).
        start: (n, d).
        scale: (d,) length of a leap in units of `LEAP`, by dimension.
        momenta: (T, n, d) standard normal, one set an iteration.
        uniform: (T, n) in [0, 1), which decide over acceptance.

    Returns:
        (n, d) where the chains end.
    """
    slope = grad(lambda z: log_density(z).sum())
    z = start
    for p, u in zip(momenta, uniform, strict=True):
        proposed, q = z, p + 0.5 * LEAP * scale * slope(z)
        for leap in range(LEAPS):
            proposed = proposed + LEAP * scale * q
            q = q + (1.0 if leap < LEAPS - 1 else 0.5) * LEAP * scale * slope(proposed)
        gain = log_density(proposed) - log_density(z) + 0.5 * (p.square() - q.square()).sum(dim=1)
        z = torch.where((u < gain.exp())[:, None], proposed, z)
    return z
