"""From noisy moments to a Gaussian for each class, with what noise could have made drawn to nothing.

By how much a class differs from all patients is drawn to zero, coordinate by coordinate, as a normal number x of known
noise variance v is by empirical Bayes: by the factor x^2 / (x^2 + v), the posterior mean where the prior's variance is
what was measured. A single factor for a whole class (James and Stein 1961) drew the large differences away with the
small ones, and shrinking the covariance gained nothing: so it was on PneumoniaMNIST, a public set, after a first look
on chest X-rays (docs/decisions/019). By how much a class's own covariance differs from that of all classes is drawn to
zero as a whole, by the share of its squared norm that noise accounts for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.families.parts.moments import Moments

#: What the variance along any direction may be, in the variances of public images.
LEAST_VARIANCE, MOST_VARIANCE = 0.1, 4.0
#: Least share of a class that a sum is divided by (with more than ten classes a tenth of an equal share), and least
#: number of patients over the expected one.
LEAST_SHARE, LEAST_TOTAL = 0.01, 0.1


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian a class, with one covariance or one each.

    Attributes:
        shares: (K,) of the classes, > 0, of sum 1.
        means: (K, d).
        covariance: (1, d, d) or (K, d, d), eigenvalues in [LEAST_VARIANCE, MOST_VARIANCE].
        known: (K,) in [0, 1], how much of the squared difference between a class and all patients the noise does not
            account for: 0 for a class that is as good as unknown, or that nobody has.
    """

    shares: Tensor
    means: Tensor
    covariance: Tensor
    known: Tensor


def estimated(moments: Moments, public: Tensor | None = None) -> Gaussians:
    """Shares, means and covariance of the classes, float64.

    Args:
        moments: of the patients.
        public: (d, d) covariance of public points, of which the classes' differences are a part. It stands for the
            patients' where no second moments were asked for, and has no say where they were.

    Raises:
        ValueError: there is neither.
    """
    K, _ = moments.sums.shape
    # The expected number of patients is a public constant; how many there were is measured by the shares.
    total = max(float(moments.shares.sum()), math.sqrt(K) * moments.share_std, LEAST_TOTAL)
    share_std, sum_std = moments.share_std / total, moments.sum_std / total
    measured, sums = moments.shares / total, moments.sums / total
    shares = measured.clamp_min(max(min(LEAST_SHARE, 0.1 / K), share_std))
    pooled = sums.sum(dim=0)
    # By the share as it was measured, so that nothing is left of a class that nobody has.
    differences = (sums - measured[:, None] * pooled) / shares[:, None]
    # Noise of the class, of which the pooled mean has a part, of the other classes, and of the share.
    s = shares[:, None]
    variances = (sum_std**2 * ((1 - s) ** 2 + (K - 1) * s**2) + share_std**2 * pooled.square()) / s.square()
    means = pooled + drawn_to_zero(differences, variances)
    known = unexplained(differences, variances) * (measured > 0)
    shares = shares / shares.sum()
    if moments.second is not None:
        second = moments.second / total
        within = second.sum(dim=0) - torch.einsum("k,ki,kj->ij", shares, means, means)
    elif public is not None:
        apart = means - shares @ means
        within = public.double().cpu() - torch.einsum("k,ki,kj->ij", shares, apart, apart)
    else:
        raise ValueError("a covariance needs second moments or public points")
    covariance = valid(within)[None]
    if moments.second is not None and len(moments.second) > 1:
        covariance = of_classes(second, shares, means, covariance, moments.second_std / total)
    return Gaussians(shares, means, covariance, known)


def of_classes(second: Tensor, shares: Tensor, means: Tensor, pooled: Tensor, noise: float) -> Tensor:
    """(K, d, d) covariance of each class, near the pooled one where it is hardly known.

    Args:
        second: (K, d, d) mean of z z^T of each class, times its share.
        shares: (K,) > 0.
        means: (K, d).
        pooled: (1, d, d).
        noise: standard deviation of the noise in each entry of `second` on the diagonal.
    """
    d = second.shape[1]
    s = shares[:, None, None]
    apart = second / s - torch.einsum("ki,kj->kij", means, means) - pooled
    # d entries on the diagonal, and d (d - 1) off it of half their variance each.
    expected = (noise / s) ** 2 * (d + d * (d - 1) / 2)
    length = apart.square().sum(dim=(1, 2), keepdim=True).clamp_min(1e-300)
    return valid(pooled + apart * (1 - expected / length).clamp(0.0, 1.0))


def drawn_to_zero(x: Tensor, variance: Tensor) -> Tensor:
    """What is left of x, measured with noise of this variance, coordinate by coordinate."""
    power = x.square()
    return x * power / (power + variance).clamp_min(1e-300)


def unexplained(x: Tensor, variance: Tensor) -> Tensor:
    """(K,) of x (K, d): the share of its squared length beyond what the noise is expected to have."""
    length, noise = x.square().sum(dim=1), variance.sum(dim=1)
    return (1 - noise / length.clamp_min(1e-300)).clamp(0.0, 1.0)


def valid(covariance: Tensor) -> Tensor:
    """The symmetric part of (..., d, d) with its eigenvalues clamped to [LEAST_VARIANCE, MOST_VARIANCE]."""
    values, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
    return (vectors * values.clamp(LEAST_VARIANCE, MOST_VARIANCE)[..., None, :]) @ vectors.mT
