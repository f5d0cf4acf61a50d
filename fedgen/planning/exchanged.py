"""How much of a study crosses the wire. Heavy: only the family itself knows its size, so import it where it is used."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedgen.recipe import Recipe
from fedgen.study.study import Study
from fedgen_privacy.secagg import Parameters
from fedgen_privacy.secagg.payload import PayloadLayout as MaskedLayout

_FLOAT = 4


@dataclass(frozen=True)
class Exchanged:
    """Sizes of a study's messages at one site, without what travels around them.

    Attributes:
        numbers: P, trained parameters of the model.
        model_bytes: comes in, each round.
        update_bytes: leaves, each round.
        release_bytes: the synthetic images that come in at the end to be assessed.
        secure: parameters of the secure aggregation, None where the study has none.
    """

    numbers: int
    model_bytes: int
    update_bytes: int
    release_bytes: int
    secure: Parameters | None


def exchanged(study: Study, sites: int) -> Exchanged:
    """The sizes.

    Raises:
        StudyError: the study's secure aggregation would not protect so many sites.
    """
    recipe = Recipe.of(study)
    numbers = recipe.layout.size
    secure = recipe.parameters(sites) if study.aggregation.secure else None
    update = _FLOAT * recipe.mechanism.vector.length if secure is None else 4 * MaskedLayout.of(secure).words
    image = study.data.channels * math.prod(study.data.image_size)
    release = _FLOAT * study.synthesis.images * (image + 1)
    return Exchanged(numbers, _FLOAT * numbers, update, release, secure)
