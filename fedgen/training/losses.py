"""Losses of a round as scalars that can be summed over sites, and their weighted mean from the sum.

Each objective gives three: its loss times the site's share, the share itself (a site whose Poisson batches were
all empty has no loss), and the variance of the privacy noise in the first. A share is weight / weight cap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Losses = dict[str, tuple[float, float]]
PER_OBJECTIVE = 3


def summable(
    objectives: Sequence[str], losses: Mapping[str, tuple[float, float]], share: float
) -> list[float]:
    """`PER_OBJECTIVE` scalars for each objective, in the order given.

    Args:
        losses: objective to (mean loss, standard deviation of the noise in it).
        share: of the site, in (0, 1].
    """
    scalars: list[float] = []
    for name in objectives:
        value, std = losses.get(name, (0.0, 0.0))
        scalars += [share * value, share if name in losses else 0.0, (share * std) ** 2]
    return scalars


def weighted_means(objectives: Sequence[str], sums: Sequence[float]) -> Losses:
    """Weighted mean and noise of every objective that some site has a loss of; inverse of summing `summable`."""
    losses: Losses = {}
    for place, name in enumerate(objectives):
        value, share, variance = sums[PER_OBJECTIVE * place : PER_OBJECTIVE * (place + 1)]
        if share > 0:
            losses[name] = (value / share, max(variance, 0.0) ** 0.5 / share)
    return losses
