"""The whole evaluation of one synthetic data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.errors import DataError
from fedgen.evidence.downstream.downstream import measure_downstream
from fedgen.evidence.evaluation_result import Counts, EvaluationResult
from fedgen.evidence.limits import limits_of
from fedgen.evidence.metrics.diversity import measure_diversity, scales_for
from fedgen.evidence.metrics.extractors import build_extractor
from fedgen.evidence.metrics.fidelity import FidelityRow, measure_fidelity
from fedgen.evidence.metrics.matched import choose_reference
from fedgen.evidence.pooled import PooledImages, pool
from fedgen.study.training import EvaluationSection


def _silent(message: str) -> None:
    """Reports nothing."""


def run_evaluation(
    evaluation: EvaluationSection,
    sites: Sequence[SiteData],
    synthetic: LabelledImages,
    *,
    seed: int,
    progress: Callable[[str], None] = _silent,
) -> EvaluationResult:
    """Fidelity, diversity and downstream use of a synthetic set, against the real images of all sites.

    Fidelity compares with held-out patients, diversity with training patients; downstream tests on the
    TEST part. The same arguments give the same result on the same machine.

    Args:
        evaluation: section `evaluation` of the study.
        sites: data of every site.
        synthetic: the synthetic set, of the same image size and classes.
        seed: fixes every draw.
        progress: told each step before it starts.

    Raises:
        DataError: no site, or images that cannot be compared.
    """
    _check(sites, synthetic)
    classes = sites[0].classes
    train, test = pool(sites, (Part.TRAIN,)), pool(sites, (Part.TEST,))
    reference = choose_reference(sites, synthetic, classes, seed=seed)
    fidelity: list[FidelityRow] = []
    for name in evaluation.extractors:
        progress(f"fidelity {name}")
        fidelity += measure_fidelity(build_extractor(name, train.images.shape[1]), reference, seed=seed)
    progress("diversity")
    diversity = measure_diversity(train, synthetic, classes, seed=seed)
    downstream = measure_downstream(
        train,
        test,
        synthetic,
        classes,
        n_sites=len(sites),
        steps=evaluation.steps,
        seeds=evaluation.seeds,
        bootstrap=evaluation.bootstrap,
        seed=seed,
        progress=progress,
    )
    return EvaluationResult(
        n=_counts(train, test, synthetic),
        fidelity=tuple(fidelity),
        scales=scales_for(*synthetic.images.shape[-2:]),
        diversity=diversity,
        task=_task(classes, len(sites)),
        steps=evaluation.steps,
        seeds=evaluation.seeds,
        sites=tuple(site.site for site in sites),
        downstream=downstream,
        limits=limits_of(downstream),
        seed=seed,
    )


def _check(sites: Sequence[SiteData], synthetic: LabelledImages) -> None:
    """Refuse what would fail or mislead later."""
    if not sites:
        raise DataError("There is no site to evaluate against: give the run the data it was trained on.")
    for site in sites:
        if site.classes != sites[0].classes:
            raise DataError(
                f"Site {site.site} has other classes than site {sites[0].site}: "
                "prepare all sites with one study file."
            )
        if site.images.shape[1:] != synthetic.images.shape[1:]:
            raise DataError(
                f"Synthetic images are {_size(synthetic.images)} but those of site {site.site} "
                f"are {_size(site.images)}: synthesise again with this study's image_size and channels."
            )
        if not bool(torch.isfinite(site.images).all()):
            raise DataError(f"Site {site.site} has images with NaN or infinite values: read its data again.")
    if len(synthetic.images) == 0:
        raise DataError("The synthetic set is empty: run the synthesize stage again.")
    if not bool(torch.isfinite(synthetic.images).all()):
        raise DataError(
            "Synthetic images have NaN or infinite values: the generator diverged, train it again."
        )
    if int(synthetic.labels.min()) < 0 or int(synthetic.labels.max()) >= len(sites[0].classes):
        raise DataError(
            f"Synthetic labels must be 0 to {len(sites[0].classes) - 1}, the study's classes: "
            "run the synthesize stage again."
        )


def _size(images: torch.Tensor) -> str:
    return " x ".join(str(side) for side in images.shape[1:])


def _counts(train: PooledImages, test: PooledImages, synthetic: LabelledImages) -> Counts:
    return Counts(train.n_images, train.n_patients, test.n_images, test.n_patients, len(synthetic.labels))


def _task(classes: Sequence[str], n_sites: int) -> str:
    where = f"held-out patients of {n_sites} site{'s' if n_sites > 1 else ''}"
    return (
        f"Tell {', '.join(classes[:-1])} from {classes[-1]} in an image, tested on {where}."
        if len(classes) > 1
        else (f"None: the study has one class, {classes[0]}.")
    )
