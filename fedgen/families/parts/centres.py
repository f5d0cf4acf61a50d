"""Public centres of a latent space: which of them a latent is near to makes a class a mixture.

A patient's image then counts to its class and its nearest centre together, and its latent is measured from there.
Where images lie in a latent space is public, so the centres cost no privacy; which of them a class is near to, and by
how much it differs there, comes from the one private sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.cluster import KMeans
from torch import Tensor

#: A centre is the mean of so many public latents at least, on average; with fewer they are drawn from their law.
LEAST_EACH, DRAWN_EACH = 10, 200


@dataclass(frozen=True)
class Centres:
    """What is known of where latents lie.

    Attributes:
        points: (k, d) float32.
        within: (d, d) float64, covariance of public latents about their nearest centre.
    """

    points: Tensor
    within: Tensor

    def nearest(self, z: Tensor) -> Tensor:
        """Index (...) of the centre nearest to each latent (..., d)."""
        if len(self.points) == 1:
            return torch.zeros(z.shape[:-1], dtype=torch.int64, device=z.device)
        return (z[..., None, :] - self.points.to(z)).square().sum(dim=-1).argmin(dim=-1)


def one_centre(d: int) -> Centres:
    """The prior's mean, about which public latents have variance 1 along every axis."""
    return Centres(torch.zeros(1, d), torch.eye(d, dtype=torch.float64))


def centres_of(latents: Tensor, k: int) -> Centres:
    """The means of k clusters (Lloyd 1982) of public latents (n, d).

    Where there are fewer than 10 latents a centre, the clusters are of standard normal numbers, as which public
    latents are scaled. The same latents give the same centres.
    """
    n, d = latents.shape
    if k == 1:
        return one_centre(d)
    rng = torch.Generator().manual_seed(0)
    known = latents if n >= LEAST_EACH * k else torch.randn(DRAWN_EACH * k, d, generator=rng)
    # Rounded, so that sites and coordinator cluster the very same numbers on machines that differ in the last digit.
    points = known.double().cpu().numpy().round(4)
    found = KMeans(k, n_init=1, random_state=0).fit(points)
    centres = torch.from_numpy(found.cluster_centers_)
    away = torch.from_numpy(points) - centres[torch.from_numpy(found.labels_).long()]
    return Centres(centres.float(), away.mT @ away / len(away))
