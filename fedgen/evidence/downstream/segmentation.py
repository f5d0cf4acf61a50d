"""Segmentation with synthetic pairs as rows: a row an arm, one a difference between arms, and one that says the task.

Every network (see `segmented`) learns for the same number of steps and is tested on the true masks of TEST patients
alone, case by case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.cells import Score
from fedgen.evidence.downstream.over_cases import Replicates, score_of, too_few
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
from fedgen.run.row import Finding, Row, SitePart, Value, cut
from fedgen.study.training import EvaluationSection
from fedgen.task.image_spec import Spacing

FloatArray = NDArray[np.float64]

GROUP, DIFFERENCES = "segmentation", "segmentation-differences"
PATIENTS = "test_patients"


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
        owners = test.sites.numpy()[first]
        boot = Replicates(options.bootstrap, seed)
        leads = _leads(arms, boot)
        findings = {
            "TRTR": real_task(leads, test.n_patients),
            "TSTR": synthetic_worth(leads, test.n_patients),
        }
        unit = "pixels" if spacing is None else "mm"
        for arm, found in arms.items():
            yield _arm(
                arm, found, owners, [site.site for site in real.sites], boot, unit, findings.get(arm, ())
            )
        yield from _differences(arms, boot, unit, test.n_patients)
        yield Row(
            id="segmentation-task", title="Task", group=GROUP, note=cut(_task(real.mask_classes, options))
        )


def _leads(arms: Mapping[str, SegmentedArm], boot: Replicates) -> dict[tuple[str, str], Score | None]:
    return {pair: score_of(_less(arms, pair, SCORES.index(DICE)), boot) for pair in COMPARISONS}


def _less(arms: Mapping[str, SegmentedArm], pair: tuple[str, str], column: int) -> FloatArray | None:
    ours, theirs = arms[pair[0]].cases, arms[pair[1]].cases
    return None if ours is None or theirs is None else ours[:, column] - theirs[:, column]


def _arm(
    arm: str,
    found: SegmentedArm,
    owners: NDArray[np.int64],
    sites: Sequence[str],
    boot: Replicates,
    unit: str,
    findings: tuple[Finding, ...],
) -> Row:
    def values(keep: NDArray[np.bool_], seeds: tuple[float, ...]) -> tuple[Value, ...]:
        return tuple(
            _value(
                name,
                score_of(
                    None if found.cases is None else found.cases[keep, column],
                    boot,
                    seeds=seeds if name == DICE else (),
                ),
                unit,
            )
            for column, name in enumerate(SCORES)
        )

    everyone = np.ones(len(owners), dtype=bool)
    parts = []
    for number, site in enumerate(sites):
        own = owners == number
        count = int(own.sum())
        parts.append(SitePart(site=site, values=values(own, ()), n={PATIENTS: count}, note=too_few(count)))
    return Row(
        id=f"segmentation-{arm}",
        title=arm,
        group=GROUP,
        about=TITLES[arm],
        values=(*values(everyone, found.by_seed), Value(name="training images", value=found.n_train)),
        per_site=tuple(parts),
        n={PATIENTS: len(owners)},
        findings=findings,
        note=too_few(len(owners))
        or ("There is nothing that this arm could learn from." if found.cases is None else None),
    )


def _value(name: str, score: Score | None, unit: str) -> Value:
    return Value(
        name=f"{name}, {unit}" if name == HD95 else name,
        value=None if score is None else score.value,
        low=None if score is None else score.low,
        high=None if score is None else score.high,
        std=None if score is None else score.std_seeds,
        pool="mean",
        weight=PATIENTS,
    )


def _differences(
    arms: Mapping[str, SegmentedArm], boot: Replicates, unit: str, patients: int
) -> Iterator[Row]:
    for pair in COMPARISONS:
        yield Row(
            id=f"segmentation-{pair[0]}-against-{pair[1]}",
            title=f"{pair[0]} against {pair[1]}",
            group=DIFFERENCES,
            values=tuple(
                _value(name, score_of(_less(arms, pair, column), boot), unit)
                for column, name in enumerate(SCORES)
            ),
            n={PATIENTS: patients},
        )


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
