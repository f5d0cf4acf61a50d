"""The family that a study asks for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fedgen.errors import StudyError
from fedgen.families.contract import Family, objectives_of
from fedgen.families.parts.adapted import AdaptedFamily
from fedgen.families.registry import family_class
from fedgen.study.study import Study
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Task, image_of_class


def build_family(study: Study, start: Mapping[str, Tensor] | None = None) -> Family:
    """The family a study asks for, with its options, image shape and adapters.

    Args:
        study: what is asked for.
        start: its pretrained weights by `network/parameter`; a study with adapters makes no networks without them.

    Raises:
        StudyError: an objective would never have a turn.
    """
    plain, adapters = plain_family(study), study.model.adapters
    return plain if adapters is None else AdaptedFamily(plain, adapters, start)


def blank_family(study: Study) -> Family:
    """As `build_family`, for networks that are only counted or timed: what is frozen may have any weights."""
    plain, adapters = plain_family(study), study.model.adapters
    return plain if adapters is None else AdaptedFamily(plain, adapters, None, blank=True)


def asked_task(study: Study) -> Task:
    """What the study makes from what."""
    data = study.data
    return image_of_class(ImageSpec(channels=data.channels, size=data.image_size), data.labels)


def plain_family(study: Study) -> Family:
    """The family without adapters: what a file of pretrained weights has the parameters of.

    Raises:
        StudyError: an objective would never have a turn.
    """
    name = study.model.family
    family = family_class(name)(asked_task(study), getattr(study.model, name))
    # A step of mode distributed is a round, and the coordinator counts those.
    distributed = study.privacy.mode == "distributed"
    steps = study.training.rounds if distributed else study.training.local_steps
    never = [why for objective in objectives_of(family) if (why := objective.why_never(steps))]
    if never:
        raise StudyError(f"{never[0]}.")
    return family
