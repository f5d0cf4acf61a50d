"""The loss attack's statistic, for every objective whose loss is a likelihood or a denoising error."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Objective, Records


@torch.no_grad()
def minus_loss(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    *,
    K: int,
    chunk: int,
    rng: torch.Generator,
) -> Tensor:
    """Minus the objective's loss of each image, averaged over K draws that are the same for every image.

    Common draws, because the spread of the noise would otherwise hide the difference between images.

    Args:
        objective: one that touches data.
        networks: the family's networks.
        images: (n, C, H, W) in [-1, 1].
        labels: (n,) class index.
        K: draws an image.
        chunk: images evaluated at once; changes memory, never results.
        rng: where the draws come from.

    Returns:
        (n,) float32; higher means better known.
    """
    draws = {name: draw.to(images.device) for name, draw in objective.draw(1, 1, K, rng).items()}
    scores = []
    for part, classes in zip(images.split(chunk), labels.split(chunk), strict=True):
        n = part.shape[0]
        records = Records(
            images=part[:, None],
            labels=classes[:, None],
            weights=torch.ones(n, 1, dtype=part.dtype, device=part.device),
        )
        common = {name: draw.expand(n, *draw.shape[1:]) for name, draw in draws.items()}
        scores.append(-objective.loss(networks, records, common))
    return torch.cat(scores).float()
