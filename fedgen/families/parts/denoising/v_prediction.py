"""v-prediction in EDM's frame (Salimans and Ho 2022, arXiv 2202.00512; DPDM, Dockhorn et al. 2023, appendix).

With x = y + sigma n, alpha = 1 / sqrt(1 + sigma^2) and alpha x = cos(phi) y + sin(phi) n, the network predicts
F = sin(phi) y - cos(phi) n, which is -v. It trains better than EDM where the noise of privacy is largest (epsilon
0.2 on MNIST). Names are the papers'; every function is pure.
"""

from __future__ import annotations

from math import atan, exp, pi

import torch
from torch import Tensor

from fedgen.families.parts.denoising.edm import Preconditioning


def v_precondition(sigma: Tensor) -> Preconditioning:
    """The four functions of sigma, each of sigma's shape; c_noise is the angle phi in quarter turns, in (0, 1)."""
    total = sigma.square() + 1
    return Preconditioning(
        c_skip=1 / total,
        c_out=sigma / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=2 / pi * torch.atan(sigma),
    )


def v_loss_weight(sigma: Tensor) -> Tensor:
    """lambda(sigma) = (sigma^2 + 1) / sigma^2 = 1 / c_out^2: the loss is |F - target|^2."""
    return (sigma.square() + 1) / sigma.square()


def v_training_sigma(uniform: Tensor, log_snr_min: float, log_snr_max: float) -> Tensor:
    """Noise levels of training: the angle is uniform, between those of the two log signal-to-noise ratios.

    Args:
        uniform: numbers uniform in [0, 1).
        log_snr_min: ln(1 / sigma^2) at the highest noise.
        log_snr_max: ln(1 / sigma^2) at the lowest noise.
    """
    low, high = atan(exp(-log_snr_max / 2)), atan(exp(-log_snr_min / 2))
    return torch.tan(low + uniform * (high - low))
