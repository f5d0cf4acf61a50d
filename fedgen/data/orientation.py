"""Turning images upright: pixel axes are named by the side of the patient that they grow towards.

A letter an axis, as in `fedgen.task.image_spec`. Turning is transposing and flipping alone: no value is resampled, and
an oblique image is turned to the axes that it is closest to. The convention is that of decision 024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedgen.data.findings import Note
from fedgen.data.index import Affine
from fedgen.task.image_spec import OPPOSITES

#: Depth, rows and columns of a volume that is cut along x, y or z of the patient (RAS).
CUTS = ("RIA", "AIR", "SPR")
#: Rows and columns of a projection image: to the feet, and to the patient's left as radiographs are looked at.
FRONTAL, LATERAL = "IL", "IA"

#: Degrees off the patient's axes that are worth a word.
OBLIQUE = 10.0
OBLIQUE_NOTE = Note(
    "turned",
    f"its slices are oblique, more than {OBLIQUE:g} degrees off the patient's axes; they are turned to the closest "
    "axes by quarter turns and flips, never resampled.",
)

_Value = TypeVar("_Value")
_AXES = ({"R", "L"}, {"A", "P"}, {"S", "I"})


def axis_of(side: str) -> int:
    """0, 1 or 2: the patient's axis (x, y, z) that a letter lies on."""
    return next(number for number, sides in enumerate(_AXES) if side in sides)


def upright(plane: str) -> str:
    """The orientation that a slice of the orientation `plane` (two letters) is turned to."""
    depth = ({0, 1, 2} - {axis_of(side) for side in plane}).pop()
    return CUTS[depth][1:]


def permuted(values: Sequence[_Value], stored: str, wanted: str) -> tuple[_Value, ...]:
    """One value for each axis of `stored`, such as sizes, in the order of `wanted`; unmoved where nothing is known."""
    if not stored:
        return tuple(values)
    return tuple(values[index] for index, _ in _moves(stored, wanted))


def turned(array: NDArray[Any], stored: str, wanted: str) -> NDArray[Any]:
    """An array whose first axes are `stored`, with them transposed and flipped to `wanted`; others stay behind.

    Args:
        array: (..., rest) with one axis for each letter of `stored`, then any others.
        stored: such as `PL`; empty leaves the array as it is.
        wanted: the same axes of the patient, such as `PR`.
    """
    if stored == wanted or not stored:
        return array
    moves = _moves(stored, wanted)
    order = [index for index, _ in moves]
    moved = array.transpose(*order, *range(len(order), array.ndim))
    return np.flip(moved, tuple(place for place, (_, flipped) in enumerate(moves) if flipped))


def turned_affine(affine: ArrayLike, shape: Sequence[int], stored: str, wanted: str) -> Affine:
    """The affine, from pixels to mm, of an array that `turned` has turned.

    Args:
        affine: (3, 4) or (4, 4), of the array as it was.
        shape: its sizes.
        stored, wanted: three letters, as in `turned`.
    """
    matrix = np.array(affine, np.float64)[:3]
    columns, origin = [], matrix[:, 3].copy()
    for index, flipped in _moves(stored, wanted):
        columns.append(-matrix[:, index] if flipped else matrix[:, index])
        if flipped:
            origin += matrix[:, index] * (shape[index] - 1)
    return tuple(
        (float(a), float(b), float(c), float(d)) for a, b, c, d in np.stack([*columns, origin], axis=1)
    )


def _moves(stored: str, wanted: str) -> list[tuple[int, bool]]:
    places = {side: (index, False) for index, side in enumerate(stored)}
    places |= {OPPOSITES[side]: (index, True) for index, side in enumerate(stored)}
    return [places[side] for side in wanted]
