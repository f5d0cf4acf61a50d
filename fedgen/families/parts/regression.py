"""By how much latents move with the numbers beside the images: least squares, from noisy moments.

Of z = m_k + A c + e, with a mean m_k a group and one matrix A of slopes, the normal equations are

    u_k = s_k m_k + A C_k        for each group
    X   = sum_k m_k C_k^T + A Q

(`moments` has the letters), so that A = (X - sum_k u_k C_k^T / s_k) (Q - sum_k C_k C_k^T / s_k)^-1: the regression
within the groups, as in an analysis of covariance (Fisher 1932). Along each principal axis of the second factor a
slope is a number of known noise variance, and is drawn to zero as in `estimate`. What is left after A c was taken
from each latent has moments that follow from the same sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedgen.families.parts.estimate import LEAST_SHARE, drawn_to_zero
from fedgen.families.parts.moments import Moments

#: Least variance of the numbers along any axis, beside its noise, that a slope is divided by.
LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class Regressed:
    """What the numbers say, and the moments without it.

    Attributes:
        slopes: (d, p) float64, A.
        rest: moments of z - A c, without products.
        explained: (d, d) covariance of A c within the groups.
    """

    slopes: Tensor
    rest: Moments
    explained: Tensor


def regressed(moments: Moments) -> Regressed:
    """The slopes, and the moments of what is left."""
    K, d = moments.sums.shape
    found = moments.products
    if found is None:
        return Regressed(moments.sums.new_zeros(d, 0), moments, moments.sums.new_zeros(d, d))
    # All moments are means over the expected number of patients; a slope does not depend on how many there were.
    shares = moments.shares.clamp_min(max(min(LEAST_SHARE, 0.1 / K), moments.share_std))[:, None]
    X, C, Q = found.latents, found.groups, found.second
    spread, axes = torch.linalg.eigh(Q - C.mT @ (C / shares))
    spread = spread.clamp_min(max(LEAST_SPREAD, found.second_std))
    along = (X - moments.sums.mT @ (C / shares)) @ axes / spread
    variance = (found.latents_std**2 + along.square() * found.second_std**2) / spread.square()
    along = drawn_to_zero(along, variance)
    A = along @ axes.mT
    second = moments.second
    if second is not None:
        both = A @ X.mT
        second = second - both - both.mT + A @ Q @ A.mT
    moved = float(A.square().sum() / d) * found.groups_std**2
    rest = replace(
        moments,
        sums=moments.sums - C @ A.mT,
        second=second,
        sum_std=(moments.sum_std**2 + moved) ** 0.5,
        products=None,
    )
    total = max(float(moments.shares.sum()), LEAST_SHARE)
    return Regressed(A, rest, (along * spread / total) @ along.mT)
