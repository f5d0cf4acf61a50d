"""Consistency distillation (Song et al. 2023, arXiv 2303.01469, algorithms 1 and 2), in the scaling of EDM.

The student is to lead from anywhere on a path of its teacher's flow to the image at the path's end. It is a denoiser
as its teacher is, whose scalings are 1 and 0 where there is no noise, so that an image without noise stays what it is.
The paper ends its paths at sigma_min; here they end at 0. What the student should say is what it says itself at that
moment, not what an average of its past would (Song and Dhariwal 2023, arXiv 2310.14189, section 3.2). Every function is
pure, and noise levels differ from row to row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.families.distilled.halving import Step
from fedgen.families.parts.denoising.edm import Denoiser, per_row
from fedgen.families.parts.denoising.samplers import FreshNoise


def path_end(f: Denoiser, x: Tensor, sigma: Tensor) -> Tensor:
    """f(x; sigma) of images (n, ...) at levels (n,); x itself where the level is 0, of which no network is asked."""
    # Rows that are there already need a level that has a logarithm; what comes of it is not used.
    level = torch.where(sigma > 0, sigma, torch.ones_like(sigma))
    return torch.where(per_row(sigma, x) > 0, f(x, level), x)


def agreed(step: Step, teacher: Denoiser, student: Denoiser, x: Tensor, grid: Tensor, i: Tensor) -> Tensor:
    """What a student should say of x: what it says one step of the teacher nearer to the image (algorithm 2).

    Args:
        step: of the teacher.
        teacher: its denoiser.
        student: its denoiser as it is; of what comes no gradient is taken.
        x: (n, ...) images with noise of level `grid[i]`.
        grid: (N + 1,) noise levels, decreasing to 0.
        i: (n,) numbers below N.
    """
    s, t = grid[i].to(x), grid[i + 1].to(x)
    return path_end(student, step(teacher, x, s, t), t)


def consistency_sampler(f: Denoiser, noise: Tensor, t: Tensor, fresh: FreshNoise) -> Tensor:
    """Images of noise, each time disturbed again by less and led to the end of another path (algorithm 1).

    Args:
        f: the student; called once a step.
        noise: (n, ...) standard normal.
        t: (steps + 1,) decreasing noise levels, the last of which is 0.
        fresh: gives standard normal noise; not called where there is one step.

    Returns:
        (n, ...) images, of the type and range the student gives.
    """
    t = t.to(noise)
    x = f(noise * t[0], t[0].expand(len(noise)))
    for level in t[1:-1]:
        x = f(x + level * fresh(), level.expand(len(x)))
    return x
