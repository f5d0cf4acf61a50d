"""Audit and evaluation of one site as they may leave it: what is computed and withheld is said in `fedgen.evidence`."""

from __future__ import annotations

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import assess_audit, assess_evaluation
from fedgen.evidence.leave import leaving_audit, leaving_evaluation
from fedgen.evidence.measure import AuditedModel
from fedgen.pipeline.model import membership_score, trained_networks
from fedgen.protocol.messages import Assess
from fedgen.recipe import Recipe
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers
from fedgen.study.study import Study


def audit_numbers(
    recipe: Recipe,
    data: SiteData,
    epsilon: float | None,
    task: Assess,
    device: str | None = None,
) -> AuditNumbers:
    """The audits on one site; `device` is where the model runs.

    Args:
        recipe: of the study as the site approved it.
        data: all parts of the site's data.
        epsilon: what its training patients were promised; None without privacy.
        task: the model and the release.
        device: None for the study's.

    Raises:
        DataError: the site's images do not fit, or the model's scores are not finite.
    """
    study = recipe.study
    device = device or study.training.device
    networks = trained_networks(recipe, task.model, device)
    score = membership_score(recipe, networks, device, study.study.seed)
    made = LabelledImages(task.images, task.labels)
    found = assess_audit(study, [data], made, AuditedModel(score, epsilon, study.privacy.delta))
    return leaving_audit(found, study.audit.minimum_patients)


def evaluation_numbers(study: Study, data: SiteData, task: Assess) -> EvaluationNumbers:
    """The metrics on one site.

    Raises:
        DataError: the site's images do not fit.
    """
    made = LabelledImages(task.images, task.labels)
    return leaving_evaluation(assess_evaluation(study, [data], made))
