"""The numbers of the assessment, from the very functions by which `fedgen privacy plan` and the sites plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.errors import StudyError
from fedgen.planning.exchanged import Exchanged, exchanged
from fedgen.planning.forecast import Forecast, forecast
from fedgen.planning.mode_cost import mode_cost
from fedgen.planning.patients import training_patients
from fedgen.planning.useless import useless
from fedgen.recipe import Recipe
from fedgen.study.study import Study


@dataclass(frozen=True)
class PlannedFigures:
    """What is known of a study before it runs.

    Attributes:
        study: as it would run.
        patients: training patients of each site; empty where nobody said.
        forecast: noise and epsilon; None without privacy, or where the patients are not known.
        holds_against: whom the promise holds against, in the mechanism's words.
        limits: what the promise does not say, in the mechanism's words.
        mode_cost: what the other mode would cost, in a sentence; None where it cannot be said.
        useless: why nothing useful is to be expected; None where something may be, or nobody can say.
        sizes: of the messages, for as many sites as there are or must be.
    """

    study: Study
    patients: tuple[int, ...]
    forecast: Forecast | None
    holds_against: str
    limits: tuple[str, ...]
    mode_cost: str | None
    useless: str | None
    sizes: Exchanged


def figures(study: Study, given: Sequence[int]) -> PlannedFigures:
    """The numbers of a study.

    Args:
        study: resolved.
        given: training patients of each site; empty to take the study's own, and none where it has none.

    Raises:
        DataError, PrivacyRefusedError: a site would refuse the study, see `Mechanism.plan`.
        StudyError: the study's secure aggregation would not protect so many sites.
    """
    patients = _patients(study, given)
    promise = Recipe.of(study).mechanism.statement([])
    known = bool(patients)
    return PlannedFigures(
        study=study,
        patients=patients,
        forecast=forecast(study, patients) if known and study.privacy.private else None,
        holds_against=promise.holds_against,
        limits=promise.limits,
        mode_cost=mode_cost(study, patients) if known else None,
        useless=useless(study, patients) if known else None,
        sizes=exchanged(study, max(len(patients), study.aggregation.minimum_sites)),
    )


def _patients(study: Study, given: Sequence[int]) -> tuple[int, ...]:
    try:
        return training_patients(study, given)
    except StudyError:
        return ()
