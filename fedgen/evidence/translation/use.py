"""What a made target is worth for a task: a network that segments real targets is asked to segment made ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedgen.data.site_data import Part
from fedgen.evidence.downstream.case_rows import Columns, Tested, less
from fedgen.evidence.downstream.over_cases import Replicates, score_of, too_few
from fedgen.evidence.downstream.overlap import DICE, SCORES, FloatArray, case_scores
from fedgen.evidence.downstream.segmenter import chosen_class, segment, train_segmenter
from fedgen.evidence.measure import Real
from fedgen.evidence.middle import middle_slices
from fedgen.evidence.translating import Translating, TranslationMeasure
from fedgen.evidence.translation.cases import cases_of
from fedgen.evidence.translation.quality import LINEAR, controls
from fedgen.run.row import Finding, Row, Verdict
from fedgen.study.evaluation_section import EvaluationSection

GROUP = "translation-task-segmentation"
TRUE, BETWEEN = "Dice with the true mask", "Dice with the mask of the real target"


@dataclass(frozen=True)
class UseOfTargets(TranslationMeasure):
    """Dice of what a U-Net finds in made targets; it is trained on real ones of training patients."""

    id = "translation-use"
    title = "Segmentation of the target"
    order = 2
    options: EvaluationSection

    def measure(self, real: Real, how: Translating, seed: int) -> Iterator[Row]:
        """Rows for the real target, the made one and the linear map; none where patients have no masks, or no pairs."""
        if not how.task.paired or not how.mask_classes:
            return
        train = cases_of(real, Part.TRAIN, how.task)
        test = cases_of(real, Part.TEST, how.task)
        train, test = train.only(train.masked), test.only(test.masked)
        if not train.n_images:
            return
        classes = len(how.mask_classes)
        tested = Tested(
            [site.site for site in real.sites], test.owners, Replicates(self.options.bootstrap, seed)
        )
        columns: dict[str, Columns] = {}
        if test.n_images:
            net = train_segmenter(
                middle_slices(train.target),
                middle_slices(train.masks),
                classes,
                steps=self.options.steps,
                seed=seed,
            )
            truth = middle_slices(test.masks)
            asked = {
                "real": test.target,
                "made": how.make(test.given()),
                LINEAR: controls(train, test)[LINEAR],
            }
            found = {
                name: chosen_class(segment(net, middle_slices(images))) for name, images in asked.items()
            }
            for name, masks in found.items():
                columns[name] = {
                    TRUE: _dice(case_scores(masks, truth, test.patients, classes)),
                    BETWEEN: _dice(case_scores(masks, found["real"], test.patients, classes)),
                }
        titles = {
            "real": "Real target",
            "made": "Made target",
            LINEAR: "Control: best linear map of the sources' intensities",
        }
        for name, title in titles.items():
            yield tested.row(
                f"translation-use-{name}",
                title,
                GROUP,
                columns.get(name, {TRUE: None, BETWEEN: None}),
                findings=(_worth(columns, tested),) if name == "made" else (),
                about="A U-Net trained on real targets of training patients with their masks marks it."
                if name == "real"
                else None,
            )


def _dice(scores: FloatArray) -> FloatArray:
    column: FloatArray = scores[:, SCORES.index(DICE)]
    return column


def _worth(columns: dict[str, Columns], tested: Tested) -> Finding:
    """PASS where the made target is surely segmented better than the linear map; REVIEW elsewhere."""
    few = too_few(tested.cases)
    if few is not None or not columns:
        return Finding(
            verdict=Verdict.INSUFFICIENT, sentence=few or "There is no test patient with a true mask."
        )
    lead = score_of(less(columns["made"][TRUE], columns[LINEAR][TRUE]), tested.boot)
    if lead is None or lead.low <= 0:
        sentence = "A made target is not surely segmented better than the linear map of its sources."
        return Finding(verdict=Verdict.REVIEW, sentence=sentence)
    sentence = "A made target is segmented better than the linear map of its sources."
    return Finding(verdict=Verdict.PASS, sentence=sentence)
