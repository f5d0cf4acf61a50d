"""The few noise levels of a denoising diffusion GAN, and the Gaussians between them (Xiao et al. 2022, section 3).

Names are the papers': q(x_t | x_0) = N(sqrt(a_t) x_0, 1 - a_t) with a_t the product of the alphas up to t, and a_0 = 1.
Every function is pure; noise levels differ from row to row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.families.parts.denoising.ddpm import ddpm_sigma
from fedgen.families.parts.denoising.edm import per_row


@dataclass(frozen=True)
class LargeSteps:
    """T steps of DDPM's noise levels at equal times, as the published ones (Xiao et al. 2022, appendix C).

    Attributes:
        alpha_bar: (T + 1,) float64, from 1 down to nearly 0.
    """

    alpha_bar: Tensor

    @classmethod
    def of(cls, steps: int) -> LargeSteps:
        """So many."""
        times = torch.arange(steps + 1, dtype=torch.float64) / steps
        return cls(1 / (1 + ddpm_sigma(times).square()))

    @property
    def count(self) -> int:
        """T."""
        return len(self.alpha_bar) - 1

    def sigma(self, t: Tensor, like: Tensor) -> Tensor:
        """(n,) standard deviation of the noise in x_t / sqrt(a_t): EDM's noise level of steps t (n,)."""
        a = self._at(t, like)
        return (1 / a - 1).sqrt()

    def scaled(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t / sqrt(a_t): x_0 with noise of level `sigma`."""
        return x_t / per_row(self._at(t, x_t).sqrt(), x_t)

    def noised(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0) of images (n, ...) at t (n,) in 0..T, by standard normal noise."""
        a = per_row(self._at(t, x_0), x_0)
        return a.sqrt() * x_0 + (1 - a).sqrt() * noise

    def further(self, before: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_{t-1}) at t in 1..T."""
        alpha = per_row(self._at(t, before) / self._at(t - 1, before), before)
        return alpha.sqrt() * before + (1 - alpha).sqrt() * noise

    def posterior(self, x_0: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (n, ...) and standard deviation (n, 1, ...) of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, equation 7).

        At t = 1 they are x_0 and 0.
        """
        now, before = (per_row(self._at(s, x_t), x_t) for s in (t, t - 1))
        alpha = now / before
        of_x_0 = before.sqrt() * (1 - alpha) / (1 - now)
        of_x_t = alpha.sqrt() * (1 - before) / (1 - now)
        return of_x_0 * x_0 + of_x_t * x_t, ((1 - before) / (1 - now) * (1 - alpha)).sqrt()

    def step_back(self, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_{t-1} ~ q(x_{t-1} | x_t, x_0), by standard normal noise (n, ...)."""
        mean, std = self.posterior(x_0, x_t, t)
        return mean + std * noise

    def _at(self, t: Tensor, like: Tensor) -> Tensor:
        return self.alpha_bar.to(like)[t]
