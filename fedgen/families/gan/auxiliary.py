"""The second task of an ACGAN's discriminator (Odena et al. 2017): what was the image given?

A class, and each value of a covariate, is guessed by its probability; a number and an embedding by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from fedgen.task.task import Task


def guess_loss(task: Task, guess: Tensor, condition: Tensor) -> Tensor:
    """Sum over what the task gives, (R,): cross-entropy where one of several is right, else the squared distance.

    Args:
        task: which conditions there are.
        guess: (R, `task.condition_width`), numbers before a softmax.
        condition: (R, `task.condition_width`), as `condition_of` made it.
    """
    losses = []
    start = 0
    for width, chosen in _parts(task):
        said, right = (tensor[:, start : start + width] for tensor in (guess, condition))
        start += width
        distance = -right * log_softmax(said, dim=1) if chosen else (said - right).square()
        losses.append(distance.sum(dim=1))
    return torch.stack(losses).sum(dim=0) if losses else guess.new_zeros(len(guess))


def _parts(task: Task) -> Iterator[tuple[int, bool]]:
    """Width of each part of the condition, and whether one of its numbers is 1."""
    for field in task.conditions:
        if field.kind == "class":
            yield field.numbers, True
        elif field.kind == "embedding":
            yield field.numbers, False
        else:
            yield from ((part, part > 1) for part in field.parts)
