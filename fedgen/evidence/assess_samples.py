"""The audits of samples alone, of whatever tool made them: no model is asked, and none is at hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import Progress, audit_counts, audit_rows, check, silent
from fedgen.evidence.limits import sample_limits
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.registry import AUDITS, measures
from fedgen.evidence.same_scale import same_scale
from fedgen.run.evidence_files import Audited, Claim
from fedgen.run.site_only import Keep, forget
from fedgen.study.study import Study


def assess_samples(
    study: Study,
    sites: Sequence[SiteData],
    made: LabelledImages,
    claim: AuditedModel,
    progress: Progress = silent,
    keep: Keep = forget,
) -> Audited:
    """Every audit that asks no model, and whether the images are on the scale of the real ones.

    Args:
        study: its sections `audit` and `data`, and its seed.
        sites: with training and held-out images.
        made: the synthetic images, (n, C, *size) float32 in [-1, 1].
        claim: epsilon and delta that somebody promised, epsilon None where nobody did; without attacks.
        progress: told each row.
        keep: told what is about single patients or images.

    Raises:
        DataError: images that cannot be compared.
    """
    check(study, sites, made)
    real, alpha = Real(sites), study.audit.alpha
    audits = [kind(study.audit) for kind in measures(*AUDITS) if not kind.of_model]
    n = audit_counts(real, made)
    # A release of a run is on its study's window; that of another tool may not be.
    scale = same_scale(torch.cat([site.images for site in sites]), made.images)
    progress(scale.title)
    return Audited(
        alpha=alpha,
        claim=Claim(epsilon=claim.epsilon, delta=claim.delta),
        n=n,
        rows=(scale, *audit_rows(audits, study, real, made, claim, progress, keep)),
        limits=sample_limits(n, alpha, claim.epsilon),
        seed=study.study.seed,
    )
