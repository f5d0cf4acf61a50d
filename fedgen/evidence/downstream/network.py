"""The network judge: all its networks of all arms, trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
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
    """What each network thinks of the test images: class probabilities (n_test, K), a list a lesson.

    Each is trained by `train_classifier`, for as many steps as `steps_to_train` finds for its lesson's first set.

    Args:
        lessons: every class has an image in every set.
        test: (n_test, C, H, W).
        classes: K.
        most: the study's `evaluation.steps`.
        seed: of the rule and of the first network of each lesson; the next has the next.
    """
    trained: dict[int, list[Future[FloatArray]]] = {}
    with workers() as pool:

        def train(number: int, steps: int) -> None:
            lesson = lessons[number]
            trained[number] = [
                pool.submit(_trained, lesson, position, test, classes, steps, seed + position)
                for position in range(len(lesson.sets))
            ]

        searches = _searches(pool, lessons, classes, most, seed)
        for done in as_completed(searches):
            for number, lesson in enumerate(lessons):
                if searches[done] == (number if lesson.like is None else lesson.like):
                    train(number, done.result())
        return [[each.result() for each in trained[number]] for number in range(len(lessons))]


def _searches(
    pool: ThreadPoolExecutor, lessons: Sequence[Lesson], classes: int, most: int, seed: int
) -> dict[Future[int], int]:
    return {
        pool.submit(_steps, lesson, classes, most, seed): number
        for number, lesson in enumerate(lessons)
        if lesson.like is None
    }


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
