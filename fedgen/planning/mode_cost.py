"""What the choice of the mode costs: the noise that the same study would have in the other one, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from fedgen.errors import FedgenError
from fedgen.planning.alternatives import site_plans
from fedgen.planning.signal import signals, together
from fedgen.recipe import Recipe
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
        local, distributed = (in_mode(study, mode, patients) for mode in ("local", "distributed"))
        times = _noise(local, patients) / _noise(distributed, patients)
    except (FedgenError, ValidationError):
        return None
    here = (
        "In mode distributed the noise protects against everybody outside, as long as the sites keep to the protocol; "
        "in mode local, where it protects against the other sites and the coordinator too,"
        if study.privacy.mode == "distributed"
        else "In mode local the noise protects against everybody, the other sites and the coordinator too; in mode "
        "distributed, where it protects against everybody outside as long as the sites keep to the protocol,"
    )
    factor = times if study.privacy.mode == "distributed" else 1 / times
    return f"{here} it would be {factor:.2g} times as large at the same epsilon, with these {len(patients)} sites."


def in_mode(study: Study, mode: str, patients: Sequence[int]) -> Study:
    """The study in another mode: as many private steps, of as many patients of all sites together.

    Raises:
        ValidationError: that mode cannot do it.
    """
    if mode == study.privacy.mode:
        return study
    training, sites, total = study.training, len(patients), max(sum(patients), 1)
    if mode == "distributed":
        batch = sites * training.batch_patients if study.steps else total
        rate = min(batch / total, 1.0)
        steps = {"rounds": training.rounds * training.local_steps, "local_steps": 1} if study.steps else {}
        aggregation = study.aggregation.model_copy(update={"secure": True, "ring_bits": 32})
    else:
        batch, rate, steps = max(training.batch_patients // sites, 1), None, {}
        cap = max(study.aggregation.weight_cap, *patients)
        aggregation = study.aggregation.model_copy(update={"weight_cap": cap})
    return Study(
        **{
            **dict(study),
            "training": training.model_copy(update={"batch_patients": batch, **steps}),
            "privacy": study.privacy.model_copy(update={"mode": mode, "sampling_rate": rate}),
            "aggregation": aggregation,
        }
    )


def _noise(study: Study, patients: Sequence[int]) -> float:
    """Of the last contribution, relative to the longest that it could be; all sites together."""
    recipe = Recipe.of(study)
    plans = site_plans(recipe, patients)
    ratio = together([(plan.weight, signals(recipe, plan, 1)[-1].all_steps) for plan in plans])
    return recipe.mechanism.surplus(len(patients)) / ratio
