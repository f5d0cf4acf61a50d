"""Which tasks a family can do."""

from __future__ import annotations

from collections.abc import Callable

from fedgen.task.task import Task


def image_of_class_in(*dimensions: int) -> Callable[[Task], str | None]:
    """`FamilySpec.supports` of a family that makes one image, given its class, on a grid of so many axes."""

    def supports(task: Task) -> str | None:
        if [field.kind for field in task.makes] != ["image"] or [f.kind for f in task.given] != ["class"]:
            return "it makes one image, given its class, and nothing else"
        if task.image.dimensions not in dimensions:
            known = " and ".join(f"{n}D" for n in dimensions)
            return f"it makes {known} images, not {task.image.dimensions}D ones"
        return None

    return supports
