"""A task: which fields of a record a model makes, and which it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedgen.task.image_spec import ImageSpec

Kind = Literal["image", "class", "mask", "covariates"]


@dataclass(frozen=True)
class Field:
    """One thing that is known of a patient.

    Attributes:
        name: key of its tensor in `Records.fields`.
        kind: what it is.
        spec: of an image or mask; None for the others.
        classes: class names of a class, in the order of their index; empty for the others.
        group: whose fields come together; each group has weights of its own in `Records.weights`.
    """

    name: str
    kind: Kind
    spec: ImageSpec | None = None
    classes: tuple[str, ...] = ()
    group: str = "patient"


@dataclass(frozen=True)
class Task:
    """What is made from what, such as an image from a class.

    Attributes:
        makes: fields that the model draws.
        given: fields that it is given for it.
    """

    makes: tuple[Field, ...]
    given: tuple[Field, ...] = ()

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
    def classes(self) -> tuple[str, ...]:
        """Names of the class that is given; empty where none is."""
        return next((field.classes for field in self.given if field.kind == "class"), ())


def image_of_class(spec: ImageSpec, classes: tuple[str, ...]) -> Task:
    """The task of this version: an image, given its class."""
    return Task((Field("image", "image", spec),), (Field("class", "class", classes=classes),))
