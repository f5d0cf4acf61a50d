"""What travels beside a message's JSON text: one flat vector, of which the text says the shapes of the parts alone.

A message declares such a field with one of the types at the end. Its values stand in the vector, those of the first
such field first, and JSON has its shape. Reading checks a shape against what came before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema
from torch import Tensor

from fedgen.errors import FederationError
from fedgen.protocol.release import check_labels, check_masks, check_pixels

Floats = np.ndarray[Any, np.dtype[np.float32]]
Words = np.ndarray[Any, np.dtype[np.uint32]]
Vector = Floats | Words

#: No axis of a part is longer.
MAX_SIZE = 2**40 - 1


class IncomingVector:
    """The vector that came with a message, handed out part by part while the message is read.

    Args:
        vector: as it came; None where none did.
    """

    def __init__(self, vector: Vector | None) -> None:
        self._vector = vector
        self._taken = 0

    def take(self, dtype: np.dtype[Any], shape: Sequence[int]) -> Vector:
        """The next values, flat; a view, so that a shape that does not fit has allocated nothing.

        Raises:
            FederationError: no flat vector of that type came, or it is too short.
        """
        vector = self._vector
        if vector is None or vector.dtype != dtype or vector.ndim != 1:
            raise FederationError(
                f"A message came without its {dtype} vector: both sides must run the same version."
            )
        start, self._taken = self._taken, self._taken + math.prod(shape)
        if self._taken > vector.size:
            raise self._misfit()
        return vector[start : self._taken]

    def close(self) -> None:
        """Refuse what no part has taken.

        Raises:
            FederationError: the message says nothing of some of the values that came.
        """
        if self._vector is not None and self._vector.size != self._taken:
            raise self._misfit()

    def _misfit(self) -> FederationError:
        size = 0 if self._vector is None else self._vector.size
        return FederationError(
            f"A message came with a vector of {size} values where the sizes of its parts make {self._taken}: both "
            "sides must run the same version."
        )


class VectorPart:
    """Declares a field whose values travel in the vector; this one a float32 tensor of one axis."""

    #: of the vector
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)
    #: how many axes at least and at most
    axes: ClassVar[tuple[int, int]] = (1, 1)
    #: of the values in memory
    held: ClassVar[torch.dtype | np.dtype[Any]] = torch.float32

    def flat(self, value: Any) -> Vector:
        """The values as they travel: no copy where they lie so already."""
        flat: Vector = value.float().reshape(-1).numpy()
        return flat

    def made(self, values: Vector, shape: Sequence[int]) -> Any:
        """The field from its values; its own copy, since what came may lie in memory that cannot be written."""
        return torch.from_numpy(np.array(values)).reshape(tuple(shape))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """In JSON a shape whose values the context holds, in Python the values; neither is converted or copied."""
        fewest, most = self.axes
        shape = core_schema.list_schema(
            core_schema.int_schema(ge=1, le=MAX_SIZE, strict=True),
            min_length=fewest,
            max_length=most,
            strict=True,
        )
        return core_schema.json_or_python_schema(
            json_schema=core_schema.with_info_after_validator_function(self._arrived, shape),
            python_schema=core_schema.no_info_plain_validator_function(self._checked),
            serialization=core_schema.plain_serializer_function_ser_schema(_shape),
        )

    def _arrived(self, shape: list[int], info: ValidationInfo[Any]) -> Any:
        if not isinstance(info.context, IncomingVector):
            raise ValueError("a shape needs the vector that came with it")
        return self.made(info.context.take(self.dtype, shape), shape)

    def _checked(self, value: Any) -> Any:
        fewest, most = self.axes
        if not isinstance(value, Tensor | np.ndarray) or value.dtype != self.held:
            raise ValueError(f"must hold {self.held}")
        if not fewest <= value.ndim <= most or 0 in value.shape:
            raise ValueError(f"must have {fewest} to {most} axes, none of them empty")
        return value


class Pixels(VectorPart):
    """Images of a release, (n, C, *size) float32: each value one that a release can hold."""

    axes = (4, 5)

    def made(self, values: Vector, shape: Sequence[int]) -> Any:
        """Raises FederationError for a pixel that no release holds."""
        images = super().made(values, shape)
        check_pixels(images)
        return images


class Labels(VectorPart):
    """Labels of a release, (n,) int64, each exact as a float32."""

    held = torch.int64

    def made(self, values: Vector, shape: Sequence[int]) -> Any:
        """Raises FederationError for what is no class index."""
        labels = super().made(values, shape)
        check_labels(labels)
        return labels.long()


class ReleasedMasks(VectorPart):
    """ReleasedMasks of a release, (n, 1, *size) uint8 of classes, each exact as a float32; a release may have none."""

    axes = (4, 5)
    held = torch.uint8

    def made(self, values: Vector, shape: Sequence[int]) -> Any:
        """Raises FederationError for what is no class."""
        masks = super().made(values, shape)
        check_masks(masks)
        return masks.to(torch.uint8)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As of any part, or None."""
        return core_schema.nullable_schema(super().__get_pydantic_core_schema__(source, handler))


class MaskedWords(VectorPart):
    """A masked vector, (n,) uint32."""

    dtype = held = np.dtype(np.uint32)

    def flat(self, value: Any) -> Vector:
        """As they are."""
        words: Words = value
        return words

    def made(self, values: Vector, shape: Sequence[int]) -> Any:
        """As they came: the sum only reads them, and they are the longest of all that is sent."""
        return np.ascontiguousarray(values)


def _shape(value: Any) -> list[int]:
    return list(value.shape)


FloatVector = Annotated[Tensor, VectorPart(), Field(repr=False)]
ImageBatch = Annotated[Tensor, Pixels(), Field(repr=False)]
LabelBatch = Annotated[Tensor, Labels(), Field(repr=False)]
MaskBatch = Annotated[Tensor | None, ReleasedMasks(), Field(repr=False)]
WordVector = Annotated[Words, MaskedWords(), Field(repr=False)]
