"""A patient's vector of moments, its bound, and the moments back out of a mean of such vectors.

Of a patient with images of weights w (w >= 0, sum at most 1), groups y and latents z, each clipped to the norm
r = R sqrt(d), the vector is

    a1 u_k   for each group k,  u_k = sum w [y = k] z / r      the group's mean latent times its share
    a2 s_k   for each group k,  s_k = sum w [y = k]            the group's share
    a3 S     the upper triangle of  S = sum w z z^T / r^2, entries off the diagonal times sqrt(2); where each group is
             to have a covariance of its own, S_k = sum w [y = k] z z^T / r^2 for each group k instead

Its L2 norm is at most 1 whatever the images hold: |z| <= r gives |u_k| <= s_k, so that sum_k |u_k|^2 <= sum_k s_k^2 <=
(sum_k s_k)^2 <= 1, and the same for the shares; the triangle has the Frobenius norm of S, and ||z z^T|| = |z|^2 <= r^2
gives ||S|| <= sum w <= 1, and sum_k ||S_k||^2 <= sum_k s_k^2 <= 1. With a1^2 + a2^2 + a3^2 = 1 the squares add up to 1
at most, and with a3 = 0 the triangle is left out. Where a group is a mixture, k above is a group together with the
public centre that the latent is nearest to, and z is measured from that centre: whatever an image holds it counts to
one k, so that nothing of this changes. So a patient who is added to a sum, or taken out of it, changes it by
at most 1: the sensitivity that the noise is a multiple of.

Where images come with numbers c, such as an age, clipped to the norm 1, the mean of a group is a line in them, and the
vector holds besides

    X = sum w z c^T / r           what latents and numbers have in common
    C_k = sum w [y = k] c         the numbers of each group
    Q     the upper triangle of  Q = sum w c c^T, scaled as S is

with |z| <= r and |c| <= 1: ||X|| <= sum w |z| |c| / r <= 1, sum_k |C_k|^2 <= sum_k s_k^2 <= 1, ||Q|| <= sum w |c|^2
<= 1. X shares a1 with u, so that each has the factor a1 / sqrt(2), and C and Q share a2 with s, so that each of the
three has a2 / sqrt(3): the squares still add up to 1 at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.errors import StudyError
from fedgen.families.parts.centres import Centres, one_centre
from fedgen.families.parts.conditioning import one_hot
from fedgen.families.parts.moment_options import MomentOptions


@dataclass(frozen=True)
class Products:
    """What is known of the numbers c beside the images, of p of them.

    Attributes:
        latents: (d, p) mean of z c^T.
        groups: (K, p) mean numbers of each group times its share.
        second: (p, p) mean of c c^T.
        latents_std, groups_std, second_std: of the noise in each entry, of `second` in each on the diagonal.
    """

    latents: Tensor
    groups: Tensor
    second: Tensor
    latents_std: float
    groups_std: float
    second_std: float


@dataclass(frozen=True)
class Moments:
    """What is known of a population, with the standard deviation of the noise in it.

    Attributes:
        shares: (K,) of patients, of each group.
        sums: (K, d) mean latent of each group times its share.
        second: (1, d, d) mean of z z^T, or (K, d, d) that of each group times its share; None where not asked for.
        share_std, sum_std: of the noise in each entry.
        second_std: of the noise in each entry on the diagonal; off it, 1 / sqrt(2) of that.
        products: of the numbers beside the images; None where there are none.
    """

    shares: Tensor
    sums: Tensor
    second: Tensor | None
    share_std: float
    sum_std: float
    second_std: float
    products: Products | None = None


class Layout:
    """Where a patient's moments are in the vector.

    Args:
        classes: K of the study.
        d: numbers of an image.
        options: radius and weights.
        centres: that make a class a mixture; None for one Gaussian a class.
        numbers: p, beside each image.

    Raises:
        StudyError: each class is to have a covariance of its own, and there are numbers, which move them all alike.
    """

    def __init__(
        self, classes: int, d: int, options: MomentOptions, centres: Centres | None = None, numbers: int = 0
    ) -> None:
        if numbers and options.class_covariances:
            raise StudyError(
                "class_covariances and covariates that are numbers do not go together, since the numbers move all "
                "classes alike: take class_covariances away, or give the covariates as values."
            )
        self.classes, self.d, self.options, self.numbers = classes, d, options, numbers
        self.centres = one_centre(d) if centres is None else centres
        #: Of a class and a centre together; that of class y and centre c is y * (number of centres) + c.
        self.kinds = classes * len(self.centres.points)
        #: Norm that a latent, measured from its centre, is clipped to: R sqrt(d) where its variances are 1.
        self.reach = options.radius * math.sqrt(float(self.centres.within.trace()))
        weights = (options.mean_weight, options.share_weight, options.moment_weight)
        a1, a2, a3 = (weight / math.hypot(*weights) for weight in weights)
        self.weights = (a1 / math.sqrt(2), a2 / math.sqrt(3), a3) if numbers else (a1, a2, a3)
        #: Second moments: none, of all patients, or of each class.
        self.groups = (self.kinds if options.class_covariances else 1) if options.moment_weight > 0 else 0
        #: Numbers of their triangles.
        self.upper = self.groups * self.d * (self.d + 1) // 2
        #: Of each part of a vector, in order: sums, shares, triangles, X, C and Q.
        p = numbers
        self.parts = (self.kinds * d, self.kinds, self.upper, d * p, self.kinds * p, p * (p + 1) // 2)
        self.length = sum(self.parts)

    def kept(self, z: Tensor) -> Tensor:
        """Latents (..., d) as they enter a vector: not farther from their centres than the clip allows."""
        near = self.centres.points.to(z)[self.centres.nearest(z)]
        return near + self.clipped(z - near)

    def clipped(self, z: Tensor) -> Tensor:
        """Latents (..., d) from their centres, of a norm of at most `reach`."""
        return z * (self.reach / z.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(max=1.0)

    def bounded(self, values: Tensor) -> Tensor:
        """Numbers (..., p) of a norm of at most 1."""
        return values / values.norm(dim=-1, keepdim=True).clamp_min(1.0)

    def vectors(self, z: Tensor, labels: Tensor, weights: Tensor, values: Tensor | None = None) -> Tensor:
        """The vector of each patient, (B, length).

        Args:
            z: (B, M, d) latents of any norm.
            labels: (B, M) class index.
            weights: (B, M), >= 0, of a sum of at most 1 a patient.
            values: (B, M, p) numbers beside the images; None where p is 0.
        """
        B, M, _ = z.shape
        a1, a2, a3 = self.weights
        centre = self.centres.nearest(z)
        z = self.clipped(z - self.centres.points.to(z)[centre]) / self.reach
        kinds = labels * len(self.centres.points) + centre
        shares = weights[:, :, None] * one_hot(kinds.flatten(), self.kinds, z.dtype).reshape(B, M, -1)
        parts = [a1 * torch.einsum("bmk,bmi->bki", shares, z).flatten(1), a2 * shares.sum(dim=1)]
        if self.upper:
            of_groups = shares if self.groups > 1 else weights[:, :, None]
            second = torch.einsum("bmk,bmi,bmj->bkij", of_groups, z, z)
            parts.append(a3 * _triangle_of(second).flatten(1))
        if self.numbers:
            assert values is not None
            c = self.bounded(values)
            weighted = weights[:, :, None] * c
            parts.append(a1 * torch.einsum("bmi,bmp->bip", z, weighted).flatten(1))
            parts.append(a2 * torch.einsum("bmk,bmp->bkp", shares, c).flatten(1))
            parts.append(a2 * _triangle_of(torch.einsum("bmp,bmq->bpq", weighted, c)))
        return torch.cat(parts, dim=1)

    def moments(self, mean: Tensor, noise: float) -> Moments:
        """The moments in a mean vector (length,) with noise of this standard deviation in each entry."""
        a1, a2, a3 = self.weights
        K, d, p, r = self.kinds, self.d, self.numbers, self.reach
        sums, shares, upper, latents, groups, squares = mean.double().cpu().split(self.parts)
        second = _square_of(upper.reshape(self.groups, -1), d) * r * r / a3 if self.upper else None
        products = None
        if p:
            products = Products(
                latents.reshape(d, p) * r / a1,
                groups.reshape(K, p) / a2,
                _square_of(squares, p) / a2,
                noise * r / a1,
                noise / a2,
                noise / a2,
            )
        second_std = noise * r * r / a3 if self.upper else 0.0
        return Moments(
            shares / a2, sums.reshape(K, d) * r / a1, second, noise / a2, noise * r / a1, second_std, products
        )


def _triangle_of(squares: Tensor) -> Tensor:
    """The upper triangle of symmetric (..., n, n), entries off the diagonal times sqrt(2): of the same norm."""
    rows, columns, scale = _triangle(squares.shape[-1], squares)
    return squares[..., rows, columns] * scale


def _square_of(upper: Tensor, n: int) -> Tensor:
    """The inverse: symmetric (..., n, n)."""
    rows, columns, scale = _triangle(n, upper)
    found = upper.new_zeros(*upper.shape[:-1], n, n)
    found[..., rows, columns] = found[..., columns, rows] = upper / scale
    return found


def _triangle(n: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, columns = torch.triu_indices(n, n, device=like.device)
    off = (rows != columns).to(like.dtype)
    return rows, columns, 1 + off * (math.sqrt(2) - 1)
