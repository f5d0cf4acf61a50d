"""Rectified flow in EDM's frame (Liu et al. 2023, arXiv 2209.03003; Lipman et al. 2023, arXiv 2210.02747).

With x_t = (1 - t) y + t n the network predicts the velocity F = n - y. Divided by 1 - t, x_t is EDM's x = y + sigma n
with sigma = t / (1 - t), so that Euler's steps of the flow are those of deterministic DDIM, and every sampler serves.
Names are the papers'; every function is pure.
"""

from __future__ import annotations

from torch import Tensor

from fedgen.families.parts.denoising.edm import Preconditioning


def flow_time(sigma: Tensor) -> Tensor:
    """t in [0, 1) of a noise level, of its shape."""
    return sigma / (1 + sigma)


def flow_precondition(sigma: Tensor) -> Preconditioning:
    """The four functions of sigma, each of sigma's shape: D = x_t - t F of x_t = x / (1 + sigma); c_noise is t."""
    t = flow_time(sigma)
    return Preconditioning(c_skip=1 - t, c_out=-t, c_in=1 - t, c_noise=t)


def flow_loss_weight(sigma: Tensor) -> Tensor:
    """lambda(sigma) = ((1 + sigma) / sigma)^2 = 1 / c_out^2: the loss is |F - (n - y)|^2."""
    return ((1 + sigma) / sigma).square()


def flow_training_sigma(uniform: Tensor, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels of training at uniform times, between those of the two noise levels.

    Args:
        uniform: numbers uniform in [0, 1).
        sigma_min: lowest noise level, above 0, where nothing is left to learn.
        sigma_max: highest noise level; at infinity the time is 1.
    """
    low, high = sigma_min / (1 + sigma_min), sigma_max / (1 + sigma_max)
    t = low + uniform * (high - low)
    return t / (1 - t)
