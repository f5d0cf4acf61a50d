"""What an image is: channels, grid, and where the grid lies in the patient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section

#: The two ends of each of the patient's axes, as nibabel names them.
OPPOSITES = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}

Side = Annotated[int, Field(ge=1)]
#: What the distance between neighbours can be, in mm: from electron microscopes to far beyond any body.
LEAST_SPACING, MOST_SPACING = 1e-7, 1e4
Millimetres = Annotated[float, Field(ge=LEAST_SPACING, le=MOST_SPACING)]
Spacing = tuple[float, ...]


def known_spacing(stated: Iterable[float]) -> Spacing | None:
    """A spacing in mm as a file states it, or None where it cannot be true (zero, infinite, not a number)."""
    spacing = tuple(float(side) for side in stated)
    return spacing if all(LEAST_SPACING <= side <= MOST_SPACING for side in spacing) else None


class ImageSpec(Section):
    """One image as a tensor (channels, *size); nothing below this knows whether the grid has two axes or three.

    Attributes:
        channels: first axis of the tensor.
        size: (H, W) or (D, H, W).
        spacing: mm between neighbours along each axis of `size`; None where it is not known.
        orientation: for each axis of `size` the side of the patient that it grows towards, such as `PR` for an axial
            slice, `IR` for a coronal and `IA` for a sagittal one, or `SPR` for a volume, which is how images of every
            source are turned where they say how they lie; empty where it is not known.
    """

    channels: Annotated[int, Field(ge=1)]
    size: tuple[Side, ...] = Field(min_length=2, max_length=3, strict=False)
    spacing: tuple[Millimetres, ...] | None = Field(None, strict=False)
    orientation: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.spacing is not None and len(self.spacing) != len(self.size):
            raise ValueError(f"spacing has {len(self.spacing)} entries but size has {len(self.size)}")
        named = [OPPOSITES.get(side) for side in self.orientation]
        axes = {frozenset((side, other)) for side, other in zip(self.orientation, named, strict=True)}
        if self.orientation and (None in named or len(axes) != len(named) or len(named) != len(self.size)):
            raise ValueError(
                f"orientation {self.orientation!r} must name one of L, R, P, A, I, S for each axis of size, no axis of "
                "the patient twice"
            )
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, *size)."""
        return (self.channels, *self.size)

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.size)
