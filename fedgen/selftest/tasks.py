"""Tasks small enough for a check: one of each kind that a study can ask for, along two axes and three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedgen.families.spec import FamilySpec
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Field, Task, image_of, image_of_class, pairs_of, translation

CLASSES = ("none", "lesion")
#: Images small enough for a check, by the number of their axes.
IMAGES = {2: ImageSpec(channels=1, size=(16, 16)), 3: ImageSpec(channels=1, size=(8, 8, 8))}


def tasks(axes: int) -> dict[str, Task]:
    """By what is asked for."""
    return tasks_on(IMAGES[axes])


def tasks_on(image: ImageSpec, classes: tuple[str, ...] = CLASSES) -> dict[str, Task]:
    """By what is asked for, where each picture is such an image and a class one of these."""
    return {
        "class": image_of_class(image, classes),
        "nothing": image_of(image),
        "covariates": image_of(image, Field("covariates", "covariates", parts=(1, 2))),
        "embedding": image_of(image, Field("embedding", "embedding", parts=(4,))),
        "pairs": pairs_of(image, ("organ", "lesion"), Field("class", "class", classes=classes)),
        "translation": translation({"T1w": image, "T2w": image}, ("FLAIR", image)),
        "unpaired": translation({"T1w": image}, ("FLAIR", image), paired=False),
    }


def first_task(spec: FamilySpec, image: ImageSpec, classes: tuple[str, ...] = CLASSES) -> Task | None:
    """What a family is best known for, of such images; None where it does nothing with them."""
    return next((task for task in tasks_on(image, classes).values() if spec.supports(task) is None), None)


@dataclass(frozen=True)
class GatedTask:
    """A task that a family does.

    Attributes:
        what: its key in `tasks`.
        axes: of its images.
    """

    what: str
    axes: int

    @property
    def task(self) -> Task:
        """Itself."""
        return tasks(self.axes)[self.what]


def cells(spec: FamilySpec) -> Iterator[GatedTask]:
    """Every task that a family does; what it is best known for comes first."""
    for axes in IMAGES:
        for what, task in tasks(axes).items():
            if spec.supports(task) is None:
                yield GatedTask(what, axes)
