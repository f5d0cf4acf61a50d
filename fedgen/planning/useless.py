"""Whether the plan expects nothing useful of a sum, in the sentence that stops a study before a patient is read."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen.errors import FedgenError, PrivacyRefusedError
from fedgen.families.contract import statistics_of
from fedgen.planning.alternatives import site_plans
from fedgen.planning.signal import LEAST_OF_A_SUM, signals, together
from fedgen.recipe import Recipe
from fedgen.study.study import Study

ACCEPT = "--yes, or set privacy.accept_useless to true in the study"


def useless(study: Study, patients: Sequence[int]) -> str | None:
    """Why nothing useful is to be expected; None where something may be.

    Only a sum can be told so: no ratio below which gradients fail is known.

    Args:
        study: as it would run.
        patients: training patients of each site; not empty.

    Raises:
        DataError, PrivacyRefusedError: a site would refuse the study, see `Mechanism.plan`.
    """
    if not study.privacy.private or study.steps:
        return None
    recipe = Recipe.of(study)
    plans = site_plans(recipe, patients)
    found = [signals(recipe, plan, 1) for plan in plans]
    ratio = min(
        together([(plan.weight, every[i].all_steps) for plan, every in zip(plans, found, strict=True)])
        for i in range(len(statistics_of(recipe.family)))
    )
    if ratio >= LEAST_OF_A_SUM:
        return None
    total, n = sum(patients), len(patients)
    where = "one site" if n == 1 else f"{n} sites"
    return (
        f"NOTHING USEFUL is to be expected of {study.study.name}: at epsilon {study.privacy.epsilon:g} the sum over "
        f"{total} training patients of {where} is at most {ratio:.2g} times as long as its noise, so that the samples "
        "would show what was known before and hardly these patients"
    )


def publicly_useless(study: Study, sites: int) -> str | None:
    """As `useless`, by what a study in mode distributed says itself of the patients of all its sites."""
    total = study.public_patients
    if total is None:
        return None
    try:
        return useless(study, [max((total + i) // sites, 1) for i in range(sites)])
    except FedgenError:
        # Refused for another reason, which is said where it is refused.
        return None


def refuse_useless(study: Study, patients: Sequence[int], accepted: bool) -> None:
    """Refuse a study of which nothing useful is to be expected, unless somebody wants it all the same.

    Raises:
        PrivacyRefusedError: neither `accepted` nor privacy.accept_useless.
    """
    if accepted or study.privacy.accept_useless:
        return
    why = useless(study, patients)
    if why is not None:
        raise PrivacyRefusedError(
            f"{why}: raise privacy.epsilon, or find more patients; to spend it all the same, give {ACCEPT}."
        )
