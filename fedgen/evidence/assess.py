"""All rows of one release on the patients of some sites: of all sites in a simulation, of one site in a federation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.audited import audited
from fedgen.evidence.limits import OF_MODELS, OF_VOLUMES, audit_limits, canary_limits, evaluation_limits
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.middle import made_as_pictures, sites_as_pictures
from fedgen.evidence.pooled import pooled
from fedgen.evidence.registry import AUDITS, METRICS, measures
from fedgen.evidence.verdict import Undecided, decide
from fedgen.priors.prior import Prior
from fedgen.run.evidence_files import Audited, Claim, Evaluated
from fedgen.run.row import Finding, Row, Verdict
from fedgen.run.site_only import Keep, SiteOnly, forget
from fedgen.study.study import Study

#: Told the title of each row when it is made.
Progress = Callable[[str], None]


def silent(title: str) -> None:
    """Reports nothing."""


def assess_audit(
    study: Study,
    sites: Sequence[SiteData],
    made: LabelledImages | None,
    model: AuditedModel,
    progress: Progress = silent,
    keep: Keep = forget,
) -> Audited:
    """Audit a release and the model that made it.

    Args:
        study: its sections `audit` and `data`, and its seed.
        sites: all parts of every site; of the test part people are taken who are in neither side, for controls.
        made: the release, images (n, C, *size) float32 in [-1, 1]; None where the model itself is the release.
        model: the attacked model and its claim.
        progress: told each row.
        keep: told what is about single patients or images, which stays with whoever audits.

    Raises:
        DataError: no site, images that cannot be compared, or scores that are not finite.
    """
    check_sites(study, sites)
    if made is not None:
        check(study, sites, made)
    real, options = Real(sites), study.audit
    audits = [kind(options) for kind in measures(*AUDITS) if made is not None or not kind.of_images]
    audits = [audit for audit in audits if audit.wanted]
    shown = made or LabelledImages(sites[0].images[:0].float(), sites[0].labels[:0])
    rows = audit_rows(audits, study, real, shown, model, progress, keep)
    n = audit_counts(real, made)
    cohorts = audited(real)
    few = [each.site for each in cohorts if len(cohorts) > 1 and not each.judged(options.minimum_patients)]
    return Audited(
        alpha=options.alpha,
        claim=Claim(epsilon=model.epsilon, delta=model.delta),
        n=n,
        rows=rows,
        limits=(
            *audit_limits(n, options.alpha, model.epsilon, few),
            *canary_limits(options.canaries),
            *((OF_MODELS,) if made is None else ()),
        ),
        seed=study.study.seed,
    )


def audit_rows(
    audits: Sequence[Measure],
    study: Study,
    real: Real,
    made: LabelledImages,
    model: AuditedModel,
    progress: Progress,
    keep: Keep,
) -> tuple[Row, ...]:
    """The decided rows of some audits; arguments as of `assess_audit`."""
    if any(each.train.n_images and each.held_out.n_images for each in audited(real)):
        found = _measured(audits, real, made, model, study.study.seed, progress, keep)
        return decide(found, study.audit.alpha)
    return tuple(_without_patients(audit) for audit in audits)


def audit_counts(real: Real, made: LabelledImages | None) -> dict[str, int]:
    """Patients and images behind an audit."""
    cohorts = audited(real)
    n = {
        "train_patients": sum(each.train.n_patients for each in cohorts),
        "train_images": sum(each.train.n_images for each in cohorts),
        "audit_patients": sum(each.held_out.n_patients for each in cohorts),
        "audit_images": sum(each.held_out.n_images for each in cohorts),
    }
    return n if made is None else {**n, "synthetic_images": int(made.images.shape[0])}


def assess_evaluation(
    study: Study,
    sites: Sequence[SiteData],
    made: LabelledImages,
    progress: Progress = silent,
    keep: Keep = forget,
    prior: Prior | None = None,
) -> Evaluated:
    """Fidelity, diversity, downstream use and whatever else is measured of a release; volumes by their middle slices.

    Args:
        study: its sections `evaluation` and `data`, and its seed.
        sites: all parts of every site.
        made: the release, images (n, C, *size) float32 in [-1, 1].
        progress: told each row.
        keep: as `assess_audit`.
        prior: the public prior that the study stands on, where it is at hand.

    Raises:
        DataError: no site, or images that cannot be compared.
    """
    check(study, sites, made)
    volumes = made.images.ndim > 4
    masks = () if study.made.mask is None else study.data.mask_classes
    covariates = study.data.covariates
    real = Real(sites_as_pictures(sites), masks, covariates=covariates, prior=None if volumes else prior)
    made = made_as_pictures(made)
    metrics = [kind(study.evaluation) for kind in measures(*METRICS)]
    found = _measured(metrics, real, made, None, study.study.seed, progress, keep)
    rows = decide(found, study.audit.alpha)
    train, test = pooled(real, Part.TRAIN), pooled(real, Part.TEST)
    return Evaluated(
        n={
            "train_images": train.n_images,
            "train_patients": train.n_patients,
            "test_images": test.n_images,
            "test_patients": test.n_patients,
            "synthetic_images": int(made.images.shape[0]),
        },
        rows=rows,
        limits=(*evaluation_limits(rows, test.n_patients, len(sites)), *((OF_VOLUMES,) if volumes else ())),
        seed=study.study.seed,
    )


def _measured(
    measures: Sequence[Measure],
    real: Real,
    made: LabelledImages,
    model: AuditedModel | None,
    seed: int,
    progress: Progress,
    keep: Keep,
) -> Iterator[Row | Undecided]:
    for measure in measures:
        for found in measure.measure(real, made, model, seed):
            if isinstance(found, SiteOnly):
                keep(found)
                continue
            progress((found.row if isinstance(found, Undecided) else found).title)
            yield found


def _without_patients(audit: Measure) -> Row:
    reason = "No site has training and held-out patients."
    finding = Finding(verdict=Verdict.INSUFFICIENT, sentence=reason)
    return Row(id=audit.id, title=audit.title, group="audit", findings=(finding,))


def check_sites(study: Study, sites: Sequence[SiteData]) -> None:
    """Refuse data of which nothing can be measured.

    Raises:
        DataError: with what is wrong.
    """
    if not sites:
        raise DataError("There is no site to compare with: give the run the data it was trained on.")
    for site in sites:
        if site.classes != study.data.classes:
            raise DataError(
                f"Site {site.site} has other classes than the study: prepare its data again with this study."
            )
        if not bool(torch.isfinite(site.images).all()):
            raise DataError(f"Site {site.site} has images with NaN or infinite values: read its data again.")


def check(study: Study, sites: Sequence[SiteData], made: LabelledImages) -> None:
    """Refuse what would fail or mislead later.

    Raises:
        DataError: with what is wrong.
    """
    check_sites(study, sites)
    for site in sites:
        if site.images.shape[1:] != made.images.shape[1:]:
            raise DataError(
                f"Synthetic images are {_size(made.images)} but those of site {site.site} are "
                f"{_size(site.images)}: synthesise again with this study's image_size and channels."
            )
    if len(made.images) == 0:
        raise DataError("The synthetic set is empty: run the synthesize stage again.")
    if not bool(torch.isfinite(made.images).all()):
        raise DataError(
            "Synthetic images have NaN or infinite values: the generator diverged, train it again."
        )
    if int(made.labels.min()) < 0 or int(made.labels.max()) >= len(study.data.classes):
        raise DataError(
            f"Synthetic labels must be 0 to {len(study.data.classes) - 1}, the study's classes: "
            "run the synthesize stage again."
        )


def _size(images: torch.Tensor) -> str:
    return " x ".join(str(side) for side in images.shape[1:])
