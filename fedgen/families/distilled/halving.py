"""Progressive distillation (Salimans and Ho 2022, arXiv 2202.00512), in the scaling of EDM.

One step of the student is to do what two of its teacher do. Names are the papers'; every function is pure, and noise
levels differ from row to row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedgen.families.parts.denoising.edm import Denoiser, per_row

#: One step of a teacher: denoiser, images (n, ...), and their noise levels (n,) before and after it.
Step = Callable[[Denoiser, Tensor, Tensor, Tensor], Tensor]


def levels(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Noise levels of so many steps, (steps + 1,) float64, decreasing to 0; those of half as many are every second.

    Equation 5 of Karras et al. 2022 with i / N in place of i / (N - 1), and 0 at its end.
    """
    u = torch.arange(steps, dtype=torch.float64) / steps
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + u * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def ddim_step(D: Denoiser, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """From the noise levels s (n,) to t < s, deterministic and of first order."""
    denoised = D(x, s)
    return denoised + per_row(t / s, x) * (x - denoised)


def heun_step(D: Denoiser, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """The same of second order; where t is 0 the same."""
    d = (x - D(x, s)) / per_row(s, x)
    first = x + per_row(t - s, x) * d
    # Rows that end at 0 need a level that can be divided by; what comes of it is not used.
    level = torch.where(t > 0, t, s)
    corrected = x + per_row(t - s, x) * (d + (first - D(first, level)) / per_row(level, x)) / 2
    return torch.where(per_row(t, x) > 0, corrected, first)


def target(x: Tensor, s: Tensor, t: Tensor, there: Tensor) -> Tensor:
    """What the student must take for the denoised image, so that one `ddim_step` from x leads `there` (algorithm 2)."""
    ratio = per_row(t / s, x)
    return (there - ratio * x) / (1 - ratio)


def student_target(step: Step, teacher: Denoiser, x: Tensor, grid: Tensor, i: Tensor) -> Tensor:
    """The target of a student's step from level 2 i to 2 i + 2 of its teacher's grid.

    Args:
        step: of the teacher; two of them are taken.
        teacher: its denoiser.
        x: (n, ...) images with noise of level `grid[2 i]`.
        grid: (2 N + 1,) the teacher's levels.
        i: (n,) numbers of the student's steps, from 0.
    """
    s, middle, t = (grid[2 * i + k].to(x) for k in range(3))
    return target(x, s, t, step(teacher, step(teacher, x, s, middle), middle, t))
