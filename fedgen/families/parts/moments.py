"""A patient's vector of moments, its bound, and the moments back out of a mean of such vectors.

Of a patient with images of weights w (w >= 0, sum at most 1), classes y and latents z, each clipped to the norm
r = R sqrt(d), the vector is

    a1 u_k   for each class k,  u_k = sum w [y = k] z / r      the class's mean latent times its share
    a2 s_k   for each class k,  s_k = sum w [y = k]            the class's share
    a3 S     the upper triangle of  S = sum w z z^T / r^2, entries off the diagonal times sqrt(2); where each class is
             to have a covariance of its own, S_k = sum w [y = k] z z^T / r^2 for each class k instead

Its L2 norm is at most 1 whatever the images hold: |z| <= r gives |u_k| <= s_k, so that sum_k |u_k|^2 <= sum_k s_k^2 <=
(sum_k s_k)^2 <= 1, and the same for the shares; the triangle has the Frobenius norm of S, and ||z z^T|| = |z|^2 <= r^2
gives ||S|| <= sum w <= 1, and sum_k ||S_k||^2 <= sum_k s_k^2 <= 1. With a1^2 + a2^2 + a3^2 = 1 the squares add up to 1
at most, and with a3 = 0 the triangle is left out. Where a class is a mixture, k above is a class together with the
public centre that the latent is nearest to, and z is measured from that centre: whatever an image holds it counts to
one k, so that nothing of this changes. So a patient who is added to a sum, or taken out of it, changes it by
at most 1: the sensitivity that the noise is a multiple of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.families.parts.centres import Centres, one_centre
from fedgen.families.parts.conditioning import one_hot
from fedgen.families.parts.moment_options import MomentOptions


@dataclass(frozen=True)
class Moments:
    """What is known of a population, with the standard deviation of the noise in it.

    Attributes:
        shares: (K,) of patients, of each class.
        sums: (K, d) mean latent of each class times its share.
        second: (1, d, d) mean of z z^T, or (K, d, d) that of each class times its share; None where not asked for.
        share_std, sum_std: of the noise in each entry.
        second_std: of the noise in each entry on the diagonal; off it, 1 / sqrt(2) of that.
    """

    shares: Tensor
    sums: Tensor
    second: Tensor | None
    share_std: float
    sum_std: float
    second_std: float


class Layout:
    """Where a patient's moments are in the vector.

    Args:
        classes: K of the study.
        d: numbers of an image.
        options: radius and weights.
        centres: that make a class a mixture; None for one Gaussian a class.
    """

    def __init__(self, classes: int, d: int, options: MomentOptions, centres: Centres | None = None) -> None:
        self.classes, self.d, self.options = classes, d, options
        self.centres = one_centre(d) if centres is None else centres
        #: Of a class and a centre together; that of class y and centre c is y * (number of centres) + c.
        self.kinds = classes * len(self.centres.points)
        #: Norm that a latent, measured from its centre, is clipped to: R sqrt(d) where its variances are 1.
        self.reach = options.radius * math.sqrt(float(self.centres.within.trace()))
        weights = (options.mean_weight, options.share_weight, options.moment_weight)
        self.weights = tuple(weight / math.hypot(*weights) for weight in weights)
        #: Second moments: none, of all patients, or of each class.
        self.groups = (self.kinds if options.class_covariances else 1) if options.moment_weight > 0 else 0
        #: Numbers of their triangles.
        self.upper = self.groups * self.d * (self.d + 1) // 2
        self.length = self.kinds * (self.d + 1) + self.upper

    def kept(self, z: Tensor) -> Tensor:
        """Latents (..., d) as they enter a vector: not farther from their centres than the clip allows."""
        near = self.centres.points.to(z)[self.centres.nearest(z)]
        return near + self.clipped(z - near)

    def clipped(self, z: Tensor) -> Tensor:
        """Latents (..., d) from their centres, of a norm of at most `reach`."""
        return z * (self.reach / z.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(max=1.0)

    def vectors(self, z: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """The vector of each patient, (B, length).

        Args:
            z: (B, M, d) latents of any norm.
            labels: (B, M) class index.
            weights: (B, M), >= 0, of a sum of at most 1 a patient.
        """
        B, M, _ = z.shape
        a1, a2, a3 = self.weights
        centre = self.centres.nearest(z)
        z = self.clipped(z - self.centres.points.to(z)[centre]) / self.reach
        kinds = labels * len(self.centres.points) + centre
        shares = weights[:, :, None] * one_hot(kinds.flatten(), self.kinds, z.dtype).reshape(B, M, -1)
        sums = torch.einsum("bmk,bmi->bki", shares, z)
        first = [a1 * sums.flatten(1), a2 * shares.sum(dim=1)]
        if not self.upper:
            return torch.cat(first, dim=1)
        of_groups = shares if self.groups > 1 else weights[:, :, None]
        second = torch.einsum("bmk,bmi,bmj->bkij", of_groups, z, z)
        rows, columns, scale = self._triangle(z)
        return torch.cat([*first, (a3 * second[:, :, rows, columns] * scale).flatten(1)], dim=1)

    def moments(self, mean: Tensor, noise: float) -> Moments:
        """The moments in a mean vector (length,) with noise of this standard deviation in each entry."""
        a1, a2, a3 = self.weights
        K, d, r = self.kinds, self.d, self.reach
        sums, shares, upper = mean.double().cpu().split([K * d, K, self.upper])
        second, second_std = None, 0.0
        if self.upper:
            rows, columns, scale = self._triangle(upper)
            second = torch.zeros(self.groups, d, d, dtype=torch.float64)
            entries = upper.reshape(self.groups, -1) / scale * r * r / a3
            second[:, rows, columns] = second[:, columns, rows] = entries
            second_std = noise * r * r / a3
        return Moments(
            shares / a2, sums.reshape(K, d) * r / a1, second, noise / a2, noise * r / a1, second_std
        )

    def _triangle(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = torch.triu_indices(self.d, self.d, device=like.device)
        off = (rows != columns).to(like.dtype)
        return rows, columns, 1 + off * (math.sqrt(2) - 1)
