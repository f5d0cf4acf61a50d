"""Which public images stand for a class: the surest of those expected to be of it, none twice that need not be."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rounds of the intercepts' search; they converge as fast as Sinkhorn's scaling does.
ROUNDS = 200


def probabilities(log_densities: Tensor, shares: Tensor) -> Tensor:
    """(n, K) p(class | candidate) from ln p(candidate | class) (n, K) and the classes' shares (K,), n >= 1.

    By Bayes with an intercept for each class such that of all candidates the classes have their shares. Public images
    differ from the patients' in more than their class, and without it all of them may seem to be of one.
    """
    logits = log_densities
    for _ in range(ROUNDS):
        logits = logits + (shares.clamp_min(1e-12) / logits.softmax(dim=1).mean(dim=0).clamp_min(1e-12)).log()
    return logits.softmax(dim=1)


def surest(probability: Tensor, share: float, wanted: int) -> Tensor:
    """Indices of the candidates from which `wanted` images of a class are drawn, the surest first.

    As many as the given share of the candidates expected to be of the class; more of them, the next in order, where
    more are wanted, so that none is drawn twice, but never more than are expected to be of it. One at least.

    Args:
        probability: (n,) of the class for each candidate, n >= 1.
        share: in (0, 1].
        wanted: how many images.
    """
    expected = max(1, round(float(probability.sum())))
    count = min(expected, max(round(share * expected), wanted, 1))
    return probability.argsort(descending=True, stable=True)[:count]


def drawn(pool: Tensor, wanted: int, rng: torch.Generator) -> Tensor:
    """`wanted` of the pool (m,) at random, each of it once before any of it twice."""
    rounds = -(-wanted // len(pool))
    orders = [torch.randperm(len(pool), generator=rng, device=rng.device) for _ in range(rounds)]
    order = torch.cat(orders) if orders else torch.empty(0, dtype=torch.int64, device=rng.device)
    return pool.to(rng.device)[order[:wanted]]
