"""Distances between two sets of feature vectors, by torchmetrics."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance


class _Features(nn.Module):
    """Hands precomputed features through, so that torchmetrics never extracts an image twice."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, synthetic: Tensor) -> float:
    """Squared Frechet distance of the Gaussians fitted to two (n, d) feature sets (Heusel et al. 2017, FID).

    In float64; n >= 2. Rounding leaves equal sets slightly below zero: such a result is 0.
    """
    metric = FrechetInceptionDistance(feature=_Features(real.shape[1]), normalize=True).set_dtype(
        torch.float64
    )
    metric.update(real.double(), real=True)
    metric.update(synthetic.double(), real=False)
    value = float(metric.compute())
    return 0.0 if -1e-3 < value < 0 else value


def kernel_distance(
    real: Tensor, synthetic: Tensor, *, subset_size: int, subsets: int, seed: int
) -> tuple[float, float]:
    """KID of two (n, d) sets: unbiased squared MMD with kernel (x'y / d + 1)^3 (Binkowski et al. 2018).

    Args:
        real, synthetic: features.
        subset_size: images of each set in one estimate, at least 2 and at most the smaller n.
        subsets: estimates from random subsets.
        seed: draws the subsets; the global generator is left as it was.

    Returns:
        Mean and standard deviation over the subsets; the mean may be negative.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(
            feature=_Features(real.shape[1]), subsets=subsets, subset_size=subset_size
        ).set_dtype(torch.float64)
        metric.update(real.double(), real=True)
        metric.update(synthetic.double(), real=False)
        mean, std = metric.compute()
    return float(mean), float(std)
