"""The loss attack's statistic, for every objective whose loss is a likelihood or a denoising error."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Draws, Objective
from fedgen.task.records import Records
from fedgen_privacy.gradients.protocol import pieces, size_of


def minus_loss(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    records: Records,
    *,
    K: int,
    chunk: int,
    rng: torch.Generator,
) -> Tensor:
    """Minus the objective's loss of each record, averaged over K draws that are the same for every record.

    Common draws, because the spread of the noise would otherwise hide the difference between images.

    Args:
        objective: one that touches data.
        networks: the family's networks.
        records: B of them.
        K: draws an image.
        chunk: records evaluated at once; changes memory, never results.
        rng: where the draws come from.

    Returns:
        (B,) float32; higher means better known.
    """
    drawn = objective.draw(1, records.weights["patient"].shape[1], K, rng)
    return minus_loss_at(objective, networks, records, drawn, chunk=chunk)


def minus_loss_at(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    records: Records,
    drawn: Draws,
    *,
    chunk: int,
) -> Tensor:
    """The same at the random numbers of one record, which every record is given."""
    device = records.weights["patient"].device
    draws = {name: draw.to(device) for name, draw in drawn.items()}
    scores = []
    for part in pieces(records, chunk):
        common = {name: draw.expand(size_of(part), *draw.shape[1:]) for name, draw in draws.items()}
        scores.append(-objective.loss(networks, part, common))
    return torch.cat(scores).float()
