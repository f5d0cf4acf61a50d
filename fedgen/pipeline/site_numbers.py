"""Audit and evaluation of one site, cut down to the numbers that may leave it."""

from __future__ import annotations

import re
from typing import Any

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.result import AuditResult
from fedgen.evidence.audit.run import run_audit
from fedgen.evidence.downstream.cells import MINIMUM_PATIENTS
from fedgen.evidence.evaluate import run_evaluation
from fedgen.evidence.evaluation_result import EvaluationResult
from fedgen.pipeline.model import membership_score, trained_networks
from fedgen.protocol.messages import Assess
from fedgen.protocol.numbers import AuditNumbers, EvaluationNumbers
from fedgen.recipe import Recipe
from fedgen.study.study import Study

Json = dict[str, Any]


def audit_numbers(
    recipe: Recipe,
    data: SiteData,
    epsilon: float | None,
    task: Assess,
    device: str | None = None,
) -> Json:
    """`run_audit` on one site, in the form that may leave (`AuditNumbers`); `device` is where the model runs.

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
    device, seed = device or study.training.device, study.study.seed
    networks = trained_networks(recipe, task.model, device)
    score = membership_score(recipe.family, networks, device, seed)
    result = run_audit(
        study.audit,
        [_fitting(study, data)],
        LabelledImages(task.images, task.labels),
        score,
        epsilon=epsilon,
        delta=study.privacy.delta,
        seed=seed,
    )
    return AuditNumbers.model_validate(_leaving_audit(result, study.audit.minimum_patients)).to_json()


def evaluation_numbers(study: Study, data: SiteData, task: Assess) -> Json:
    """`run_evaluation` on one site, in the form that may leave (`EvaluationNumbers`).

    Raises:
        DataError: the site's images do not fit.
    """
    synthetic = LabelledImages(task.images, task.labels)
    result = run_evaluation(study.evaluation, [_fitting(study, data)], synthetic, seed=study.study.seed)
    return EvaluationNumbers.model_validate(_leaving_evaluation(result)).to_json()


def _fitting(study: Study, data: SiteData) -> SiteData:
    if data.classes != study.data.labels:
        raise DataError(
            f"Site {data.site} has other classes than the study: prepare its data again with this study."
        )
    return data


def _leaving_audit(result: AuditResult, minimum_patients: int) -> Json:
    told = result.to_json()
    few = min(told["n"]["train_patients"], told["n"]["audit_patients"]) < minimum_patients
    rows = []
    for row in told["audits"]:
        # One site is its own pool. Statistics of a handful of patients judge nothing and say much of each.
        rows.append({k: v for k, v in row.items() if k != "per_site"} | ({"values": []} if few else {}))
    return {**told, "audits": rows}


def _leaving_evaluation(result: EvaluationResult) -> Json:
    told = result.to_json()
    downstream = told["downstream"]
    for row in told["diversity"]["classes"]:
        # Three patients make three pairs.
        if row["real"] is None or row["pairs"] < MINIMUM_PATIENTS:
            row |= {"real": None, "synthetic": None, "pairs": 0, "note": "Too few patients of the class."}
    arms = []
    for arm in downstream["arms"]:
        cell = arm["pooled"]
        # Small numbers of patients of a class stay at the site.
        note = None if cell["note"] is None else re.sub(r" \(\d+\)", "", cell["note"])
        arms.append({**{k: arm[k] for k in ("arm", "title", "n_train")}, **cell, "note": note})
    return {
        **told,
        "downstream": {
            "steps": downstream["steps"],
            "seeds": downstream["seeds"],
            "arms": arms,
            "differences": downstream["differences"],
        },
    }
