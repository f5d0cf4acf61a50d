"""Audit and evaluation of one site as they may leave it: what is computed and withheld is said in `fedgen.evidence`."""

from __future__ import annotations

from typing import NamedTuple

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import Progress, assess_audit, assess_evaluation, silent
from fedgen.evidence.assess_translation import assess_translation
from fedgen.evidence.leave import leaving_audit, leaving_evaluation
from fedgen.pipeline.model import audited_model, trained_networks, translating
from fedgen.protocol.messages import AssessModel, Question
from fedgen.recipe import Recipe
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers
from fedgen.run.site_only import Keep, forget
from fedgen.training.canary_images import Canaries


class Aside(NamedTuple):
    """Who is told, at the site alone, while it measures.

    Attributes:
        progress: of the title of each row.
        keep: of what is about single patients or images.
    """

    progress: Progress = silent
    keep: Keep = forget


NOBODY = Aside()


def audit_numbers(
    recipe: Recipe,
    data: SiteData,
    epsilon: float | None,
    task: Question,
    device: str | None = None,
    aside: Aside = NOBODY,
    canaries: Canaries | None = None,
) -> AuditNumbers:
    """The audits on one site; `device` is where the model runs.

    Args:
        recipe: of the study as the site approved it.
        data: all parts of the site's data.
        epsilon: what its training patients were promised; None without privacy.
        task: the model, and the release where that is images.
        device: None for the study's.
        aside: who is told at the site.
        canaries: of the site, where the study asks for them.

    Raises:
        DataError: the site's images do not fit, or the model's scores are not finite.
    """
    study = recipe.study
    device = device or study.training.device
    networks = trained_networks(recipe, task.model, device)
    own = () if canaries is None else (canaries,)
    model = audited_model(recipe, networks, device, epsilon)._replace(canaries=own)
    found = assess_audit(study, [data], released(task), model, aside.progress, aside.keep)
    return leaving_audit(found, study.audit.minimum_patients, paid=study.evidence.privacy is not None)


def evaluation_numbers(
    recipe: Recipe, data: SiteData, task: Question, device: str | None = None, aside: Aside = NOBODY
) -> EvaluationNumbers:
    """The metrics on one site; `device` is where a model that is the release runs.

    Raises:
        DataError: the site's images do not fit.
    """
    made, paid = released(task), recipe.study.evidence.privacy is not None
    if made is not None:
        prior = None if recipe.start is None else recipe.start.prior
        found = assess_evaluation(recipe.study, [data], made, aside.progress, aside.keep, prior)
        return leaving_evaluation(found, paid=paid)
    device = device or recipe.study.training.device
    how = translating(recipe, trained_networks(recipe, task.model, device), device)
    return leaving_evaluation(assess_translation(recipe.study, [data], how, aside.progress), paid=paid)


def released(task: Question) -> LabelledImages | None:
    """The images of the release; None where the model is the release."""
    return None if isinstance(task, AssessModel) else LabelledImages(task.images, task.labels, task.masks)
