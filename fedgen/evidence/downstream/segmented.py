"""Segmentation networks of every arm, and their scores on the true masks of each test patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedgen.evidence.downstream.overlap import DICE, SCORES, case_scores
from fedgen.evidence.downstream.segmentation_arms import (
    OF_ALL_SEEDS,
    OF_THE_RELEASE,
    SITE_ALONE,
    TITLES,
    Masked,
    site_alone,
    taught,
)
from fedgen.evidence.downstream.segmenter import chosen_class, segment, train_segmenter
from fedgen.evidence.remembered import content, once
from fedgen.evidence.workers import workers
from fedgen.task.image_spec import Spacing

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SegmentedArm:
    """Scores of one arm.

    Attributes:
        cases: (test patients, 3) in the order of `overlap.SCORES`; None where it could not be trained.
        by_seed: mean Dice of each of its networks alone.
        n_train: images it was trained on.
    """

    cases: FloatArray | None
    by_seed: tuple[float, ...]
    n_train: int


def measure_segmentation(
    train: Masked,
    test: Masked,
    made: Masked,
    classes: int,
    *,
    spacing: Spacing | None,
    steps: int,
    seeds: int,
    seed: int,
) -> dict[str, SegmentedArm]:
    """Train and test every arm.

    Args:
        train, test: images with true masks of the TRAIN and TEST part of all sites.
        made: the synthetic pairs.
        classes: K, values of the mask beside background.
        spacing: of the images, in mm; None where it is not known.
        steps: batches that each network learns from.
        seeds: networks of the arms TRTR and TSTR.
        seed: of the first of them.
    """
    sets = {arm: taught(arm, train, made, seed=seed) for arm in TITLES if arm != SITE_ALONE}
    able = {arm: data for arm, data in sets.items() if data.n_images and train.n_images and test.n_images}
    with workers() as pool:
        jobs = {
            arm: [
                pool.submit(_seen, arm, data, test.images, classes, steps, seed + s)
                for s in range(seeds if arm in OF_ALL_SEEDS else 1)
            ]
            for arm, data in able.items()
        }
        seen = {arm: [job.result() for job in each] for arm, each in jobs.items()}
    if train.n_images and test.n_images:
        seen[SITE_ALONE] = [site_alone(train, test.sites, classes)]

    def scores(probabilities: Tensor) -> FloatArray:
        return case_scores(chosen_class(probabilities), test.masks, test.patients, classes, spacing)

    found = {}
    for arm in TITLES:
        each = seen.get(arm, [])
        n_train = sets[arm].n_images if arm in sets else train.n_images
        if not each:
            found[arm] = SegmentedArm(None, (), n_train)
            continue
        alone = [scores(one) for one in each]
        together = alone[0] if len(each) == 1 else scores(torch.stack(each).mean(dim=0))
        dice = tuple(float(one[:, SCORES.index(DICE)].mean()) for one in alone) if len(each) > 1 else ()
        found[arm] = SegmentedArm(together, dice, n_train)
    return found


def _seen(arm: str, data: Masked, test: Tensor, classes: int, steps: int, seed: int) -> Tensor:
    def train() -> nn.Module:
        return train_segmenter(data.images, data.masks, classes, steps=steps, seed=seed)

    if arm not in OF_THE_RELEASE:
        return segment(train(), test)
    # In a simulation every site asks for the same.
    return segment(once(("segmenter", content(data.images, data.masks), classes, steps, seed), train), test)
