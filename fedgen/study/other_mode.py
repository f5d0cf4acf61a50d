"""A study in the other private mode: as many steps, of as many patients of all sites together."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen.study.study import Study


def in_other_mode(study: Study, patients: Sequence[int]) -> Study:
    """The study with each site's own noise where they share one, and the other way round.

    Args:
        study: with privacy.
        patients: training patients of each site; not empty.

    Raises:
        ValidationError: the other mode cannot do it.
    """
    training, aggregation, sites, total = (
        study.training,
        study.aggregation,
        len(patients),
        max(sum(patients), 1),
    )
    batch = training.batch_patients
    if study.privacy.mode == "distributed":
        mode, rate = "local", None
        training = training.model_copy(update={"batch_patients": max(batch // sites, 1)})
        cap = max(aggregation.weight_cap, *patients)
        aggregation = aggregation.model_copy(update={"weight_cap": cap})
    else:
        batch = sites * batch if study.steps else total
        mode, rate = "distributed", min(batch / total, 1.0)
        steps = {"rounds": training.rounds * training.local_steps, "local_steps": 1} if study.steps else {}
        training = training.model_copy(update={"batch_patients": batch, **steps})
        aggregation = aggregation.model_copy(update={"secure": True, "ring_bits": 32})
    privacy = study.privacy.model_copy(update={"mode": mode, "sampling_rate": rate})
    return Study(**{**dict(study), "training": training, "privacy": privacy, "aggregation": aggregation})
