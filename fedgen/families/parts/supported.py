"""Which tasks a family can do."""

from __future__ import annotations

from collections.abc import Callable

from fedgen.task.task import Task


def creation_in(*dimensions: int) -> Callable[[Task], str | None]:
    """`FamilySpec.supports` of a family that makes a picture, with a mask where one is asked for, given no picture."""

    def supports(task: Task) -> str | None:
        if task.translates or [field.kind for field in task.makes] not in (["image"], ["image", "mask"]):
            return "it makes an image, or an image with its mask, and not from another image"
        return _grid(task, dimensions)

    return supports


def pairs_in(*dimensions: int) -> Callable[[Task], str | None]:
    """`FamilySpec.supports` of a family that makes a mask first and then an image for it."""

    def supports(task: Task) -> str | None:
        if task.translates or [field.kind for field in task.makes] != ["image", "mask"]:
            return "it makes an image with its mask, and needs both of every patient"
        return _grid(task, dimensions)

    return supports


def image_of_class_in(*dimensions: int) -> Callable[[Task], str | None]:
    """`FamilySpec.supports` of a family that makes one image, given its class, on a grid of so many axes."""

    def supports(task: Task) -> str | None:
        if [field.kind for field in task.makes] != ["image"] or [f.kind for f in task.given] != ["class"]:
            return "it makes one image, given its class, and nothing else"
        return _grid(task, dimensions)

    return supports


def translation_in(*dimensions: int) -> Callable[[Task], str | None]:
    """`FamilySpec.supports` of a family that makes an image from others: several in pairs, one without."""

    def supports(task: Task) -> str | None:
        if not task.translates or [field.kind for field in (*task.makes, *task.sources)] != ["image"] * (
            1 + len(task.sources)
        ):
            return "it makes an image from other images"
        if not task.paired and (len(task.sources) > 1 or task.conditions):
            return "without pairs it makes one contrast from one other, given nothing else"
        grids = {field.spec.size for field in (*task.makes, *task.sources) if field.spec is not None}
        return "its images have one grid" if len(grids) > 1 else _grid(task, dimensions)

    return supports


def _grid(task: Task, dimensions: tuple[int, ...]) -> str | None:
    if task.stack.dimensions in dimensions:
        return None
    known = " and ".join(f"{n}D" for n in dimensions)
    return f"it makes {known} images, not {task.stack.dimensions}D ones"
