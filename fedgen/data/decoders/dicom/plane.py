"""Where one image lies in the patient, from the tags that say so: directions, position, distances of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from fedgen.data.decoders.dicom.kinds import modality_of
from fedgen.data.decoders.dicom.tags import groups, has_decimal_comma, items, numbers, words
from fedgen.data.findings import Note
from fedgen.data.orientation import FRONTAL, LATERAL, OBLIQUE, OBLIQUE_NOTE, axis_of, upright
from fedgen.task.image_spec import Spacing, known_spacing

Vector = tuple[float, float, float]

#: How far from right angles, as a cosine, the two directions of an image may be.
_SKEWED = 0.1
#: DICOM's axes are LPS; nibabel's are RAS.
_LPS_TO_RAS = np.array([[-1.0], [-1.0], [1.0]])
_POSITIVE, _NEGATIVE = "RAS", "LPI"

_SKEWED_NOTE = Note(
    "guessed_geometry",
    "ImageOrientationPatient holds no two directions at right angles, so the image stays as it is stored and its "
    "orientation is unknown.",
)


@dataclass(frozen=True)
class Plane:
    """Geometry of one image as it is stored.

    Attributes:
        orientation: two letters for rows and columns; empty where unknown.
        side: the letter of the side that the normal, across columns and rows, points to; empty where unknown.
        wanted: the orientation it is turned to.
        spacing: mm between rows and between columns, or None where unknown.
        aspect: height of a pixel over its width, where that alone is known.
        across, down: directions of columns and of rows in LPS, of length 1; None where unknown.
        position: of the first pixel in LPS, mm; None where unknown.
        notes: what was guessed.
    """

    orientation: str = ""
    side: str = ""
    wanted: str = ""
    spacing: Spacing | None = None
    aspect: float | None = None
    across: Vector | None = None
    down: Vector | None = None
    position: Vector | None = None
    notes: tuple[Note, ...] = ()

    @property
    def normal(self) -> NDArray[np.float64] | None:
        """Direction at right angles to the image in LPS, towards the R, A or S side of the patient."""
        if self.across is None or self.down is None:
            return None
        normal = np.cross(self.across, self.down)
        return normal if self.side in _POSITIVE else -normal


def plane_of(tags: Any, frame: int = 0) -> Plane:
    """The plane of an image, or of one frame of several.

    Raises:
        UnreadableError: an element holds no numbers.
    """
    spacing, aspect, notes = _spacing(tags, frame)
    cosines = _first(tags, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    if not cosines:
        return replace(_projection(tags), spacing=spacing, aspect=aspect, notes=notes)
    directions = _directions(cosines)
    if directions is None:
        return Plane(spacing=spacing, aspect=aspect, notes=(*notes, _SKEWED_NOTE))
    across, down, letters, degrees = directions
    position = _first(tags, frame, "PlanePositionSequence", "ImagePositionPatient")
    known = len(position) == 3 and bool(np.isfinite(position).all())
    return Plane(
        orientation=letters[:2],
        side=letters[2],
        wanted=upright(letters[:2]),
        spacing=spacing,
        aspect=aspect,
        across=across,
        down=down,
        position=(position[0], position[1], position[2]) if known else None,
        notes=(*notes, OBLIQUE_NOTE) if degrees > OBLIQUE else notes,
    )


def _first(tags: Any, frame: int, macro: str, keyword: str) -> tuple[float, ...]:
    """An element of the frame's functional groups, of the dataset, or of a nuclear detector."""
    for item in groups(tags, frame, macro):
        if found := numbers(item, keyword):
            return found
    if found := numbers(tags, keyword):
        return found
    for item in items(tags, "DetectorInformationSequence")[:1]:
        return numbers(item, keyword)
    return ()


@lru_cache(maxsize=4096)
def _directions(cosines: tuple[float, ...]) -> tuple[Vector, Vector, str, float] | None:
    """Unit directions of columns and rows, letters of rows, columns and normal, and degrees off the axes.

    The first three numbers of (0020,0037) are the direction in which the columns of a row follow one another, the last
    three that of the rows (PS3.3, C.7.6.2.1.1). Which axes are closest is nibabel's choice, as for NIfTI.
    """
    if len(cosines) != 6 or not np.isfinite(cosines).all():
        return None
    pair = np.array(cosines).reshape(2, 3)
    lengths = np.linalg.norm(pair, axis=1)
    if not (lengths.min() > 0.5 and lengths.max() < 2):
        return None
    across, down = pair / lengths[:, np.newaxis]
    if abs(float(across @ down)) > _SKEWED:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.stack([down, across, np.cross(across, down)], axis=1) * _LPS_TO_RAS
    closest = io_orientation(affine)
    letters = "".join((_POSITIVE if sign > 0 else _NEGATIVE)[int(axis)] for axis, sign in closest)
    straight = [abs(affine[int(axis), column]) for column, (axis, _) in enumerate(closest)]
    degrees = float(np.degrees(np.arccos(min(1.0, min(straight)))))
    return _vector(across), _vector(down), letters, degrees


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _projection(tags: Any) -> Plane:
    """Of an image without ImageOrientationPatient: PatientOrientation names the sides, where it does.

    Its first value is the direction of the columns, the second that of the rows, each of one to three letters of which
    the first weighs most (PS3.3, C.7.6.1.1.1).
    """
    named = words(tags, "PatientOrientation")
    letters = {"F": "I", "H": "S"}
    sides = [letters.get(word[:1].upper(), word[:1].upper()) for word in named]
    if (
        len(sides) != 2
        or not all(side in "RLAPSI" and side for side in sides)
        or axis_of(sides[0]) == axis_of(sides[1])
    ):
        return Plane()
    stored = sides[1] + sides[0]
    axes = frozenset(axis_of(side) for side in stored)
    # A breast hangs as its side asks: such a picture stays as it is stored.
    breast = modality_of(tags) == "MG"
    wanted = stored if breast else {frozenset({0, 2}): FRONTAL, frozenset({1, 2}): LATERAL}.get(axes, stored)
    return Plane(orientation=stored, wanted=wanted)


def _spacing(tags: Any, frame: int) -> tuple[Spacing | None, float | None, tuple[Note, ...]]:
    """Spacing of rows and columns, else the aspect of a pixel, and what was guessed."""
    for item in groups(tags, frame, "PixelMeasuresSequence"):
        if (found := _pair(item, "PixelSpacing"))[0] is not None:
            return found[0], None, found[1]
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        if (found := _pair(tags, keyword))[0] is not None:
            return found[0], None, found[1]
    if (ultrasound := _of_ultrasound(tags)) is not None:
        return ultrasound, None, ()
    ratio = numbers(tags, "PixelAspectRatio")
    if len(ratio) == 2 and min(ratio) > 0 and np.isfinite(ratio).all():
        return None, ratio[0] / ratio[1], ()
    return None, None, ()


def _pair(tags: Any, keyword: str) -> tuple[Spacing | None, tuple[Note, ...]]:
    stated = numbers(tags, keyword)
    notes = []
    if has_decimal_comma(tags, keyword):
        notes.append(
            Note("guessed_geometry", f"{keyword} is written with decimal commas, which are taken as points.")
        )
    if len(stated) == 1:
        stated = stated * 2
        notes.append(
            Note(
                "guessed_geometry",
                f"{keyword} holds one number instead of two, so its pixels are taken as square.",
            )
        )
    return (known_spacing(stated), tuple(notes)) if len(stated) == 2 else (None, ())


def _of_ultrasound(tags: Any) -> Spacing | None:
    """Of the one region of an ultrasound image whose axes are centimetres (PS3.3, C.8.5.5)."""
    regions = items(tags, "SequenceOfUltrasoundRegions")
    if len(regions) != 1:
        return None
    units = [numbers(regions[0], f"PhysicalUnits{axis}Direction") for axis in "YX"]
    deltas = [numbers(regions[0], f"PhysicalDelta{axis}") for axis in "YX"]
    if units != [(3.0,), (3.0,)] or not all(len(delta) == 1 for delta in deltas):
        return None
    return known_spacing(abs(delta[0]) * 10 for delta in deltas)


def same_direction(one: Plane, other: Plane, cosine: float = 0.9999) -> bool:
    """Whether two images lie side by side: rows and columns of equal directions."""
    if one.across is None or one.down is None or other.across is None or other.down is None:
        return one.orientation == other.orientation and one.across is other.across
    pairs: Sequence[tuple[Vector, Vector]] = ((one.across, other.across), (one.down, other.down))
    return all(float(np.dot(a, b)) > cosine for a, b in pairs)
