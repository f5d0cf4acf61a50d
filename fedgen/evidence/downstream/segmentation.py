"""Segmentation with synthetic pairs as rows: a row an arm, one a difference between arms, and one that says the task.

Every network (see `segmented`) learns for the same number of steps and is tested on the true masks of TEST patients
alone, case by case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.case_rows import Tested, less
from fedgen.evidence.downstream.over_cases import Replicates, score_of
from fedgen.evidence.downstream.overlap import DICE, HD95, SCORES
from fedgen.evidence.downstream.segmentation_arms import (
    COMPARISONS,
    TITLES,
    made_masked,
    masked_images,
)
from fedgen.evidence.downstream.segmentation_worth import real_task, synthetic_worth
from fedgen.evidence.downstream.segmented import SegmentedArm, measure_segmentation
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.run.row import Row, Value, cut
from fedgen.study.evaluation_section import EvaluationSection
from fedgen.task.image_spec import Spacing

FloatArray = NDArray[np.float64]

GROUP, DIFFERENCES = "segmentation", "segmentation-differences"


@dataclass(frozen=True)
class Segmentation(Measure):
    """U-Nets trained on each arm's images and masks, tested on real patients' masks."""

    id = "segmentation"
    title = "Segmentation"
    order = 4
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row an arm, then the differences of arms, then the task; nothing where the task makes no masks."""
        if made.masks is None or not real.mask_classes:
            return
        options, classes = self.options, len(real.mask_classes)
        train, test = masked_images(real.sites, Part.TRAIN), masked_images(real.sites, Part.TEST)
        spacing = _common_spacing([site.spacing for site in real.sites])
        arms = measure_segmentation(
            train,
            test,
            made_masked(made, len(real.sites)),
            classes,
            spacing=spacing,
            steps=options.steps,
            seeds=options.seeds,
            seed=seed,
        )
        _, first = np.unique(test.patients.numpy(), return_index=True)
        tested = Tested(
            sites=[site.site for site in real.sites],
            owners=test.sites.numpy()[first],
            boot=Replicates(options.bootstrap, seed),
        )
        columns = {arm: _columns(found, spacing) for arm, found in arms.items()}
        leads = {
            pair: score_of(less(columns[pair[0]][DICE], columns[pair[1]][DICE]), tested.boot)
            for pair in COMPARISONS
        }
        findings = {"TRTR": real_task(leads, tested.cases), "TSTR": synthetic_worth(leads, tested.cases)}
        for arm, found in arms.items():
            yield tested.row(
                f"segmentation-{arm}",
                arm,
                GROUP,
                columns[arm],
                about=TITLES[arm],
                findings=findings.get(arm, ()),
                note="There is nothing that this arm could learn from." if found.cases is None else None,
                more=(Value(name="training images", value=found.n_train),),
                seeds={DICE: found.by_seed},
            )
        for ours, theirs in COMPARISONS:
            yield tested.difference(
                f"segmentation-{ours}-against-{theirs}",
                f"{ours} against {theirs}",
                DIFFERENCES,
                columns[ours],
                columns[theirs],
            )
        yield Row(
            id="segmentation-task", title="Task", group=GROUP, note=cut(_task(real.mask_classes, options))
        )


def _columns(found: SegmentedArm, spacing: Spacing | None) -> dict[str, FloatArray | None]:
    unit = "pixels" if spacing is None else "mm"
    return {
        f"{name}, {unit}" if name == HD95 else name: None if found.cases is None else found.cases[:, column]
        for column, name in enumerate(SCORES)
    }


def _common_spacing(spacings: Sequence[Spacing | None]) -> Spacing | None:
    known = set(spacings)
    return known.pop() if len(known) == 1 else None


def _task(classes: Sequence[str], options: EvaluationSection) -> str:
    what = classes[0] if len(classes) == 1 else f"{', '.join(classes[:-1])} and {classes[-1]}"
    seed = "seed" if options.seeds == 1 else "seeds"
    return (
        f"Mark {what} in an image, tested on the true masks of held-out patients, a patient a case. A small U-Net is "
        f"trained for {options.steps} steps in every arm ({options.seeds} {seed} of TRTR and TSTR, one network of the "
        "others). Dice is of all of a patient's images together; HD95 and surface Dice (within one pixel) are means "
        "over the images in which either mask has anything. Where one of the two masks is empty, Dice and surface Dice "
        "are 0 and the distance is the image's diagonal; where both are, they agree. Mean over the mask's classes."
    )
