"""A task: which fields of a record a model makes, and which it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedgen.task.image_spec import ImageSpec

Kind = Literal["image", "mask", "class", "covariates", "embedding"]

#: Group of the fields that a patient has together.
PATIENT = "patient"
#: Name in `Records.fields` of which of a translation's sources are there, (B, M, S) float32 of 0 and 1.
PRESENT = "present"


@dataclass(frozen=True)
class Field:
    """One thing that is known of a patient.

    Attributes:
        name: key of its tensor in `Records.fields`.
        kind: what it is.
        spec: of an image, or of a mask, which has a channel for each of its classes; None for the others.
        classes: class names of a class or of a mask, in the order of their index or channel; empty for the others.
        parts: of covariates the numbers that each takes: 1 where it is a number in [-1, 1], else one for each of its
            values, of which one is 1; of an embedding how many it has in all; empty for the others.
        group: whose fields come together; each group has weights of its own in `Records.weights`.
    """

    name: str
    kind: Kind
    spec: ImageSpec | None = None
    classes: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()
    group: str = PATIENT

    @property
    def channels(self) -> int:
        """Of an image or a mask; 0 for the others."""
        return 0 if self.spec is None else self.spec.channels

    @property
    def numbers(self) -> int:
        """How many numbers say it to a network, where it is no picture: a class is one-hot."""
        return len(self.classes) if self.kind == "class" else sum(self.parts)


@dataclass(frozen=True)
class Task:
    """What is made from what, such as an image from a class.

    Attributes:
        makes: fields that the model draws: pictures.
        given: fields that it is given for it.
        downsample: of super-resolution, how much coarser its source `coarse` is than the target it is made of; else 1.
    """

    makes: tuple[Field, ...]
    given: tuple[Field, ...] = ()
    downsample: int = 1

    @property
    def stack(self) -> ImageSpec:
        """All pictures that are made as one, along the channels in the order of `makes`.

        Raises:
            ValueError: none is made, or their grids differ.
        """
        return _stack(self.makes)

    @property
    def sources(self) -> tuple[Field, ...]:
        """The pictures that are given."""
        return tuple(field for field in self.given if field.spec is not None)

    @property
    def conditions(self) -> tuple[Field, ...]:
        """What is given beside pictures."""
        return tuple(field for field in self.given if field.spec is None)

    @property
    def condition_width(self) -> int:
        """Numbers that say the conditions to a network; 0 where nothing is given."""
        return sum(field.numbers for field in self.conditions)

    @property
    def image(self) -> ImageSpec:
        """Of the one image that is made.

        Raises:
            ValueError: none or several are made.
        """
        specs = [field.spec for field in self.makes if field.kind == "image" and field.spec is not None]
        if len(specs) != 1:
            raise ValueError(f"the task makes {len(specs)} images, not one")
        return specs[0]

    @property
    def mask(self) -> Field | None:
        """The mask that is made; None where none is."""
        return next((field for field in self.makes if field.kind == "mask"), None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the class that is given; empty where none is."""
        return next((field.classes for field in self.given if field.kind == "class"), ())

    @property
    def translates(self) -> bool:
        """Whether an image is made from other images."""
        return bool(self.sources)

    @property
    def paired(self) -> bool:
        """Whether every field comes from one patient at one time."""
        return all(field.group == PATIENT for field in (*self.makes, *self.given))


def image_of_class(spec: ImageSpec, classes: tuple[str, ...]) -> Task:
    """An image, given its class."""
    return Task((Field("image", "image", spec),), (Field("class", "class", classes=classes),))


def image_of(spec: ImageSpec, *given: Field) -> Task:
    """An image, given any conditions, or none."""
    return Task((Field("image", "image", spec),), given)


def pairs_of(spec: ImageSpec, mask_classes: tuple[str, ...], *given: Field) -> Task:
    """An image with its mask, whose channels are the classes that are not background."""
    mask = spec.model_copy(update={"channels": len(mask_classes)})
    return Task((Field("image", "image", spec), Field("mask", "mask", mask, mask_classes)), given)


def translation(
    sources: dict[str, ImageSpec], target: tuple[str, ImageSpec], *, paired: bool = True, downsample: int = 1
) -> Task:
    """An image from others: contrasts by name, of one patient each time, or of different ones.

    Args:
        sources: what is given, by name.
        target: name and spec of what is made.
        paired: whether sources and target show one patient at one time.
        downsample: see `Task`.
    """
    name, spec = target
    given = tuple(
        Field(source, "image", of, group=PATIENT if paired else source) for source, of in sources.items()
    )
    return Task((Field(name, "image", spec, group=PATIENT if paired else name),), given, downsample)


def _stack(fields: tuple[Field, ...]) -> ImageSpec:
    specs = [field.spec for field in fields if field.spec is not None]
    if not specs or any(spec.size != specs[0].size for spec in specs):
        raise ValueError(f"{len(specs)} pictures of one grid do not make one: {specs}")
    return specs[0].model_copy(update={"channels": sum(spec.channels for spec in specs)})
