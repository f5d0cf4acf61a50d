"""Translations without pairs: is the anatomy of the source still there, does it come back, do made targets look real?

No patient has both images, so nothing says what a made target should be, voxel by voxel. What can be said is how its
edges lie on those of its own source, beside the edges of other patients' sources, which share the head's shape alone;
whether networks trained on real images of either kind mark the same in both; and how far the made images are from real
ones in the features that a release's fidelity is measured in, beside the distance of real ones from each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.errors import DataError
from fedgen.evidence.downstream.case_rows import Columns, Tested, less
from fedgen.evidence.downstream.over_cases import Replicates, score_of, too_few
from fedgen.evidence.downstream.overlap import DICE, SCORES, case_scores
from fedgen.evidence.downstream.segmenter import chosen_class, segment, train_segmenter
from fedgen.evidence.measure import Real
from fedgen.evidence.metrics.beside_floor import measure_distances
from fedgen.evidence.metrics.matched import choose_reference
from fedgen.evidence.middle import middle_slices
from fedgen.evidence.translating import Translating, TranslationMeasure
from fedgen.evidence.translation.cases import Cases, cases_of
from fedgen.evidence.translation.quality import plain
from fedgen.extractors.contract import Given
from fedgen.extractors.registry import build_extractor
from fedgen.run.row import Finding, Row, Value, Verdict, cut
from fedgen.study.evaluation_section import EvaluationSection
from fedgen.training.task_records import fields_of, presence

FloatArray = NDArray[np.float64]

GROUP, DISTANCES = "translation-structure", "translation-distribution"
EDGES = "edges kept"
OTHERS = "edges of another patient"
CYCLE = "cycle error (MAE)"
SAME_MASK = "Dice before and after"


@dataclass(frozen=True)
class Structure(TranslationMeasure):
    """Edges, segmentations before and after, and the way back, of each source of a translation without pairs."""

    id = "translation-structure"
    title = "Structure"
    order = 3
    options: EvaluationSection

    def measure(self, real: Real, how: Translating, seed: int) -> Iterator[Row]:
        """A row a source; nothing where sources and targets are paired."""
        if how.task.paired:
            return
        train, test = cases_of(real, Part.TRAIN, how.task), cases_of(real, Part.TEST, how.task)
        for source in how.sources:
            own = test.having([source])
            tested = Tested(
                [site.site for site in real.sites], own.owners, Replicates(self.options.bootstrap, seed)
            )
            columns: dict[str, FloatArray | None] = dict.fromkeys((EDGES, OTHERS, SAME_MASK, CYCLE))
            if own.n_images:
                before, made = own.own(source), how.make(own.given([source]))
                columns[EDGES] = edges_by_case(before, made, own.patients)
                columns[OTHERS] = edges_by_case(_of_another(own, before), made, own.patients)
                columns[SAME_MASK] = self._same_mask(train, source, before, made, own, how, seed)
                again = how.back(made)
                if again is not None:
                    error = (again[source] - own.pictures[source]).abs().flatten(1).mean(1) / 2
                    columns[CYCLE] = _by_case(error, own.patients)
            kept: Columns = {
                name: column
                for name, column in columns.items()
                if column is not None or name in (EDGES, OTHERS)
            }
            yield tested.row(
                f"translation-structure-{plain(source)}",
                f"{how.target} made from {source}",
                GROUP,
                kept,
                about="Correlation of the edges' strength in the source and in what was made of it; beside it that "
                "with the source of another patient. A cycle's error is a share of the window.",
                findings=(_kept(columns, tested),),
            )

    def _same_mask(
        self,
        train: Cases,
        source: str,
        before: Tensor,
        made: Tensor,
        own: Cases,
        how: Translating,
        seed: int,
    ) -> FloatArray | None:
        """Dice of what networks trained on real sources and on real targets find before and after; by case."""
        if not how.mask_classes:
            return None
        classes, found = len(how.mask_classes), []
        for name, images in ((source, before), (how.target, made)):
            known = train.having([name])
            known = known.only(known.masked)
            if not known.n_images:
                return None
            net = train_segmenter(
                middle_slices(known.own(name)),
                middle_slices(known.masks),
                classes,
                steps=self.options.steps,
                seed=seed,
            )
            found.append(chosen_class(segment(net, middle_slices(images))))
        scores: FloatArray = case_scores(found[1], found[0], own.patients, classes)[:, SCORES.index(DICE)]
        return scores


@dataclass(frozen=True)
class Distribution(TranslationMeasure):
    """FID and KID of made to real targets in the study's extractors, each beside real to real."""

    id = "translation-distribution"
    title = "Distribution of made targets"
    order = 4
    options: EvaluationSection

    def measure(self, real: Real, how: Translating, seed: int) -> Iterator[Row]:
        """A row for each extractor and distance; nothing where sources and targets are paired."""
        if how.task.paired:
            return
        test = cases_of(real, Part.TEST, how.task)
        own = [test.having([source]) for source in how.sources]
        made = [
            middle_slices(how.make(each.given([source])))
            for each, source in zip(own, how.sources, strict=True)
            if each.n_images
        ]
        if not made:
            return
        images = torch.cat(made)
        targets = [_targets_of(site, how) for site in real.sites]
        labels = torch.zeros(len(images), dtype=torch.int64)
        reference = choose_reference(targets, LabelledImages(images, labels), ("target",), seed=seed)
        given = Given(images.shape[1], real.prior, self.options.network)
        for name in self.options.extractors:
            try:
                extractor = build_extractor(name, given)
            except DataError as error:
                title, note = f"Features {name}", cut(f"Features {name}: not computed. {error}")
                yield Row(id=f"translation-features-{name}", title=title, group=DISTANCES, note=note)
                continue
            for distance in measure_distances(extractor, reference, seed=seed):
                yield Row(
                    id=f"translation-{distance.metric}-{distance.extractor}",
                    title=f"{distance.metric} {distance.extractor}",
                    group=DISTANCES,
                    values=(
                        Value(
                            name="made to real",
                            value=distance.value,
                            low=distance.low,
                            high=distance.high,
                            std=distance.std,
                        ),
                        Value(name="real to real (floor)", value=distance.floor, std=distance.floor_std),
                    ),
                    # What is made is made of patients, so that they count too.
                    n={"real_images": distance.n_real, "made_images": distance.n_synthetic},
                    note=cut(distance.note),
                )


def _targets_of(site: SiteData, how: Translating) -> SiteData:
    """A site as one that has the target alone, all of one class; volumes by their middle slices."""
    rows = presence(how.target, site, torch.arange(site.n_images)).nonzero().flatten()
    images = middle_slices(fields_of(how.task, site, rows)[how.target])
    return replace(
        site.only(rows),
        images=images.half(),
        labels=torch.zeros(len(rows), dtype=torch.int64),
        classes=("target",),
        contrasts=(),
        present=None,
    )


def edge_strength(images: Tensor) -> Tensor:
    """(n, *size) length of the gradient of (n, C, *size) images, mean over channels."""
    squares = torch.zeros_like(images)
    for axis in range(2, images.ndim):
        step = images.diff(dim=axis)
        squares.narrow(axis, 0, step.shape[axis]).add_(step.square())
    return squares.sqrt().mean(dim=1)


def edges_by_case(one: Tensor, other: Tensor, patients: Tensor) -> FloatArray:
    """Pearson correlation of the edges of two images (n, C, *size), mean over each patient's images."""
    a, b = (edge_strength(each.float()).flatten(1).double() for each in (one, other))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    scale = (a.square().sum(1) * b.square().sum(1)).sqrt()
    return _by_case(torch.where(scale > 0, (a * b).sum(1) / scale.clamp_min(1e-12), 0.0), patients)


def _by_case(values: Tensor, patients: Tensor) -> FloatArray:
    _, owner, count = patients.unique(return_inverse=True, return_counts=True)
    total = torch.zeros(len(count), dtype=torch.float64).index_add(0, owner, values.double())
    mean: FloatArray = (total / count).numpy()
    return mean


def _of_another(cases: Cases, images: Tensor) -> Tensor:
    """The image of another patient for each, as far as no patient has more images than all others."""
    _, count = cases.patients.unique(return_counts=True)
    order = cases.patients.argsort(stable=True)
    other = torch.empty_like(order)
    other[order] = order.roll(int(count.max()))
    return images[other]


def _kept(columns: Columns, tested: Tested) -> Finding:
    """PASS where edges lie surely closer on the patient's own source than on another's; REVIEW elsewhere."""
    few = too_few(tested.cases)
    if few is not None:
        return Finding(verdict=Verdict.INSUFFICIENT, sentence=few)
    lead = score_of(less(columns[EDGES], columns[OTHERS]), tested.boot)
    if lead is None or lead.low <= 0:
        sentence = "What is made does not surely keep its own source's edges more than another patient's."
        return Finding(verdict=Verdict.REVIEW, sentence=sentence)
    return Finding(verdict=Verdict.PASS, sentence="What is made keeps the edges of its own source.")
