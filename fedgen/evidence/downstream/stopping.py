"""How long a network is trained: a rule fixed in advance that sees an arm's own training patients alone.

A quarter of the patients of each class is held out, a network is trained on the others at a constant rate, and the
number of steps after which its average over steps was best on those held out is the number that all networks of the
arm are then trained for, on all of the arm's images. Test patients have no part in it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.classifier import Training

#: Share of the patients of a class that are held out, one at least.
HELD_OUT = 0.25
#: Steps between two looks, and looks without a better loss after which the search ends.
EVERY, PATIENCE = 20, 4
#: What counts as better.
BETTER = 0.01
#: A balanced cross-entropy at which the task is learnt: the search ends.
LEARNED = 0.1
#: Memory of the average of the weights over steps.
AVERAGE = 0.95
#: The average lags behind, and a network is not judged before it had a chance.
LEAST = 100


def steps_to_train(data: TrainingSet, classes: int, *, most: int, seed: int) -> int:
    """Number of steps for an arm, from `LEAST` to `most`, where `most` is not below.

    Args:
        data: the arm's set; every class has an image at least.
        classes: K.
        most: the study's `evaluation.steps`.
        seed: of the patients held out and of the network.
    """
    if most <= LEAST:
        return most
    inner = held_out(data, classes, seed=seed)
    if inner is None:
        return most
    images, labels = data.images[~inner], data.labels[~inner]
    weight = 1 / data.labels[inner].bincount(minlength=classes).float()
    training = Training(images, labels, classes, seed=seed)
    average = copy.deepcopy(training.net).eval()
    best, loss = 0, float("inf")
    for step in range(1, most + 1):
        training.step()
        _follow(average, training.net, min(AVERAGE, step / (step + 10)))
        if step % EVERY == 0:
            now = _loss(average, data.images[inner], data.labels[inner], weight)
            if now < loss - BETTER:
                best, loss = step, now
            if loss < LEARNED or step - best >= EVERY * PATIENCE:
                break
    return min(most, max(LEAST, best))


def held_out(data: TrainingSet, classes: int, *, seed: int) -> Tensor | None:
    """(n,) bool, the images of patients held out; None where a class has not two patients to part.

    A patient with images of several classes counts for the rarest of them, so that the rare ones are on both sides.
    """
    rng = torch.Generator().manual_seed(seed)
    of_class = [data.patients[data.labels == c].unique() for c in range(classes)]
    taken = torch.empty(0, dtype=torch.int64)
    out = []
    for own in sorted(of_class, key=len):
        free = own[~torch.isin(own, taken)]
        taken = torch.cat([taken, free])
        if len(free) >= 2:
            count = max(1, round(HELD_OUT * len(free)))
            out.append(free[torch.randperm(len(free), generator=rng)[:count]])
    inner = (
        torch.isin(data.patients, torch.cat(out)) if out else torch.zeros(len(data.labels), dtype=torch.bool)
    )
    both = all(bool((data.labels[side] == c).any()) for side in (inner, ~inner) for c in range(classes))
    return inner if both else None


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, memory: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - memory)
    for kept, new in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(new)


@torch.no_grad()
def _loss(net: nn.Module, images: Tensor, labels: Tensor, weight: Tensor) -> float:
    logits = torch.cat([net(batch) for batch in images.split(256)])
    return float(nn.functional.cross_entropy(logits, labels, weight=weight))
