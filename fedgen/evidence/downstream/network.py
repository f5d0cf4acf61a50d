"""The network judge: all its networks of all arms, trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.classifier import probabilities, train_classifier
from fedgen.evidence.downstream.stopping import steps_to_train
from fedgen.evidence.remembered import content, once
from fedgen.evidence.workers import workers

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """What an arm teaches.

    Attributes:
        sets: one a network.
        shared: whether an equal lesson is asked for again, at other sites, so that what was learnt is remembered.
        like: position of the lesson that says how long this one is; None where its first set does.
    """

    sets: tuple[TrainingSet, ...]
    shared: bool = False
    like: int | None = None


def learn(
    lessons: Sequence[Lesson], test: Tensor, classes: int, *, most: int, seed: int
) -> list[list[FloatArray]]:
    """`Learning` with workers of its own; arguments as there."""
    with workers() as pool:
        return Learning(pool, lessons, test, classes, most=most, seed=seed).thought()


class Learning:
    """Networks that are being trained by workers, who have other work too.

    Each is trained by `train_classifier`, for as many steps as `steps_to_train` finds for its lesson's first set.

    Args:
        pool: of `workers`; given the searches at once, and the networks of a lesson as soon as its steps are known.
        lessons: every class has an image in every set.
        test: (n_test, C, H, W).
        classes: K.
        most: the study's `evaluation.steps`.
        seed: of the rule and of the first network of each lesson; the next has the next.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        lessons: Sequence[Lesson],
        test: Tensor,
        classes: int,
        *,
        most: int,
        seed: int,
    ) -> None:
        self._lessons, self._trained = lessons, dict[int, list[Future[FloatArray]]]()

        def search(first: int) -> None:
            steps = _steps(lessons[first], classes, most, seed)
            for number, lesson in enumerate(lessons):
                if first == (number if lesson.like is None else lesson.like):
                    self._trained[number] = [
                        pool.submit(_trained, lesson, position, test, classes, steps, seed + position)
                        for position in range(len(lesson.sets))
                    ]

        self._searches = [
            pool.submit(search, number) for number, lesson in enumerate(lessons) if lesson.like is None
        ]

    def thought(self) -> list[list[FloatArray]]:
        """What each network thinks of the test images: class probabilities (n_test, K), a list a lesson."""
        for search in self._searches:
            search.result()
        return [[each.result() for each in self._trained[number]] for number in range(len(self._lessons))]


def _steps(lesson: Lesson, classes: int, most: int, seed: int) -> int:
    data = lesson.sets[0]
    if not lesson.shared:
        return steps_to_train(data, classes, most=most, seed=seed)
    # Which numbers its patients have hangs on how many real patients there are beside them.
    alike = TrainingSet(data.images, data.labels, torch.arange(len(data.labels)), data.rows)
    key = ("steps", content(data.images, data.labels), classes, most, seed)
    return once(key, lambda: steps_to_train(alike, classes, most=most, seed=seed))


def _trained(lesson: Lesson, position: int, test: Tensor, classes: int, steps: int, seed: int) -> FloatArray:
    data = lesson.sets[position]

    def train() -> torch.nn.Module:
        return train_classifier(data.images, data.labels, classes, steps=steps, seed=seed)

    key = ("network", content(data.images, data.labels) if lesson.shared else "", classes, steps, seed)
    return probabilities(once(key, train) if lesson.shared else train(), test).numpy()
