"""What the choice of the mode costs: the noise that the same study would have in the other one, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from fedgen.errors import FedgenError
from fedgen.planning.alternatives import site_plans
from fedgen.planning.signal import signals, together
from fedgen.planning.words import PROTECTS
from fedgen.recipe import Recipe
from fedgen.study.other_mode import in_other_mode
from fedgen.study.study import Study


def mode_cost(study: Study, patients: Sequence[int]) -> str | None:
    """The sentence; None without privacy, for a single site, or where the other mode cannot do the study.

    Args:
        study: with privacy or without.
        patients: training patients of each site.
    """
    if not study.privacy.private or len(patients) < 2:
        return None
    try:
        other = in_other_mode(study, patients)
        times = _noise(other, patients) / _noise(study, patients)
    except (FedgenError, ValidationError):
        return None
    here, there = study.privacy.mode, other.privacy.mode
    return (
        f"In mode {here} the noise {PROTECTS[here]}; in mode {there} it {PROTECTS[there]}, and would be {times:.2g} "
        f"times as large at the same epsilon, with these {len(patients)} sites."
    )


def _noise(study: Study, patients: Sequence[int]) -> float:
    """Of the last contribution, relative to the longest that it could be; all sites together."""
    recipe = Recipe.of(study)
    plans = site_plans(recipe, patients)
    ratio = together([(plan.weight, signals(recipe, plan, 1)[-1].all_steps) for plan in plans])
    return recipe.mechanism.surplus(len(patients)) / ratio
