"""Maximum mean discrepancy of one record's latents from the prior (InfoVAE: Zhao et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

#: Draws of the prior for each latent, so that chance in them is small beside chance in the latent.
PRIOR_DRAWS = 8


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """exp(-|a - b|^2 / 2d): (B, n, d) and (B, m, d) to (B, n, m); two standard normals are about 1 / e."""
    squares = a.square().sum(dim=2)[:, :, None] + b.square().sum(dim=2)[:, None] - 2 * a @ b.transpose(1, 2)
    return torch.exp(-squares.clamp_min(0) / (2 * a.shape[2]))


def discrepancy(z: Tensor, weights: Tensor, prior: Tensor) -> Tensor:
    """Squared MMD of each record's weighted latents from draws of the prior, (B,), never negative.

    In the paper the latents are those of the whole batch. That mixes records, so that no clip could bound one
    patient's influence; here they are the draws of the record's own images. The part of the squared MMD that pulls
    latents to the prior is linear in them, and the same in both; the part that pushes latents from each other acts
    within a record alone. So each patient's own posterior is drawn towards the prior, as the KL does, but with a
    force that is bounded and fades where it is far.

    Args:
        z: (B, n, d) latents.
        weights: (B, n), >= 0, that sum to 1 in each record.
        prior: (B, m, d) draws of the prior.
    """
    own = torch.einsum("bi,bij,bj->b", weights, kernel(z, z), weights)
    both = torch.einsum("bi,bij->b", weights, kernel(z, prior)) / prior.shape[1]
    return own - 2 * both + kernel(prior, prior).mean(dim=(1, 2))
