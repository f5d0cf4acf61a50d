"""Geometry that contradicts itself is refused where it is made."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Field, Task, image_of_class


def test_a_volume_and_a_slice() -> None:
    volume = ImageSpec(channels=1, size=(8, 16, 32), spacing=(2.5, 1.0, 1.0), orientation="SPR")
    assert (volume.shape, volume.dimensions) == ((1, 8, 16, 32), 3)
    assert ImageSpec(channels=3, size=(8, 16)).dimensions == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (8,)},
        {"size": (8, 0)},
        {"spacing": (1.0,)},
        {"spacing": (1.0, 0.0)},
        {"spacing": (1.0, float("nan"))},
        {"orientation": "P"},
        {"orientation": "PA"},
        {"orientation": "PP"},
        {"orientation": "PX"},
        {"channels": 0},
    ],
)
def test_what_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ImageSpec.model_validate({"channels": 1, "size": (8, 8), **wrong})


def test_the_task_knows_its_image_and_its_classes() -> None:
    spec = ImageSpec(channels=1, size=(8, 8))
    task = image_of_class(spec, ("none", "lesion"))
    assert (task.image, task.classes) == (spec, ("none", "lesion"))
    with pytest.raises(ValueError, match="2 images"):
        Task((Field("T1", "image", spec), Field("T2", "image", spec))).image  # noqa: B018
