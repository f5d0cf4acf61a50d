"""Which images a DICOM object holds and how they lie: one image, frames without places, or volumes of frames."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import Header
from fedgen.data.decoders.dicom.pile import Stack, stack_of
from fedgen.data.decoders.dicom.plane import Plane, plane_of, same_direction
from fedgen.data.decoders.dicom.tags import groups, numbers, whole_number
from fedgen.data.decoders.guard import UnreadableError
from fedgen.data.index import Affine, SliceRange
from fedgen.data.orientation import CUTS, axis_of, permuted, turned, turned_affine

#: What tells frames at one place apart: macro and element of their functional groups, in the order they are tried.
_FRAME_KEYS = (
    ("MREchoSequence", "EffectiveEchoTime"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
    ("FrameContentSequence", "DimensionIndexValues"),
)


class SeveralDirectionsError(UnreadableError):
    """Frames of one object lie in several directions, as those of an enhanced localizer do."""


@dataclass(frozen=True)
class Native:
    """Images of one object, or of one series, as they are stored.

    Attributes:
        size: rows and columns as stored.
        plane: geometry of the first image in the order of `stack`.
        stack: the order of images that have places; None for a single image and for frames without places.
        frames: how many there are.
    """

    size: tuple[int, int]
    plane: Plane
    stack: Stack | None
    frames: int

    @property
    def axis(self) -> int:
        """The patient's axis that the stack lies along; 0 where it is unknown."""
        return axis_of(self.plane.side) if self.stack is not None else 0


def native_of(tags: Any) -> Native:
    """The images of one DICOM object.

    Raises:
        UnreadableError: no image, frames of several directions, or damaged elements.
    """
    size = whole_number(tags, "Rows", 0), whole_number(tags, "Columns", 0)
    if min(size) < 1:
        raise UnreadableError("has no pixels")
    count = whole_number(tags, "NumberOfFrames", 1)
    if count < 1:
        raise UnreadableError(f"has the NumberOfFrames {count}, which is none")
    if count == 1:
        return Native(size, plane_of(tags), None, count)
    if "PerFrameFunctionalGroupsSequence" in tags:
        planes = [plane_of(tags, frame) for frame in range(count)]
    else:
        planes = _offset(plane_of(tags), numbers(tags, "GridFrameOffsetVector"), count)
    if not all(same_direction(planes[0], plane) for plane in planes):
        raise SeveralDirectionsError(
            "holds slices of several directions, which are no one volume (a localizer?): export each for itself"
        )
    if any(plane.position is None for plane in planes):
        return Native(size, planes[0], None, count)
    keys = [[_frame_key(tags, frame, *key) for frame in range(count)] for key in _FRAME_KEYS]
    stack = stack_of(planes, [values for values in keys if len(set(values)) > 1], range(count))
    if len({len(volume) for volume in stack.volumes}) > 1:
        raise UnreadableError("holds volumes of different numbers of slices: export each for itself")
    return Native(size, planes[stack.volumes[0][0]], stack, count)


def _offset(first: Plane, offsets: Sequence[float], count: int) -> list[Plane]:
    """Planes of the frames of a dose grid, from the place of the first and how far the others are (PS3.3, C.8.8.3)."""
    if first.position is None or first.across is None or first.down is None or len(offsets) != count:
        return [replace(first, position=None)] * count
    normal, origin = np.cross(first.across, first.down), np.array(first.position)
    # The first offset is 0, unless they are places along an axis of the patient.
    moved = [origin + normal * (offset - offsets[0]) for offset in offsets]
    return [replace(first, position=(float(x), float(y), float(z))) for x, y, z in moved]


def _frame_key(tags: Any, frame: int, macro: str, keyword: str) -> Hashable:
    return next((numbers(item, keyword) for item in groups(tags, frame, macro)), ())


def header_of(native: Native, axis: int) -> Header:
    """What `Decoder.header` tells of images, volumes cut along the patient's axis `axis`.

    Raises:
        UnreadableError: slices at unequal distances, to be cut along another axis than their own.
    """
    plane, stack = native.plane, native.stack
    stored, wanted = plane.orientation, plane.wanted
    stored_shape = (len(stack.volumes[0]) if stack else 1, *native.size)
    header = Header(
        size=_two(permuted(native.size, stored, wanted)),
        depth=native.frames if native.frames > 1 else None,
        spacing=None if plane.spacing is None else permuted(plane.spacing, stored, wanted),
        aspect=None if plane.aspect is None else _ratio(permuted((plane.aspect, 1.0), stored, wanted)),
        orientation=wanted,
        stored_orientation="" if stored == wanted else stored,
        affine=_affine(plane, 1.0 if stack is None or stack.step is None else stack.step, stored_shape),
        notes=plane.notes,
    )
    if stack is None:
        return header
    header = replace(
        header,
        depth=len(stack.volumes[0]),
        axis=native.axis,
        affine=header.affine if stack.step is not None or len(stack.volumes[0]) == 1 else None,
        depth_spacing=stack.step,
        depth_orientation=CUTS[native.axis][0],
        volumes=len(stack.volumes),
        notes=(*plane.notes, *stack.notes),
    )
    return header if header.depth == 1 or axis == native.axis else _recut(header, axis)


def _recut(header: Header, axis: int) -> Header:
    if header.depth_spacing is None:
        raise UnreadableError(
            f"has slices at unequal distances along axis {header.axis}, which cannot be cut along axis {axis}: set "
            f"data.slices.axis to {header.axis}, or interpolate them first"
        )
    assert header.depth is not None
    stored, wanted = CUTS[header.axis], CUTS[axis]
    depth, *size = permuted((header.depth, *header.size), stored, wanted)
    affine = None
    if header.affine is not None:
        affine = turned_affine(header.affine, (header.depth, *header.size), stored, wanted)
    spacing = None
    if header.spacing is not None:
        spacing = permuted((header.depth_spacing, *header.spacing), stored, wanted)
    return replace(
        header,
        size=_two(size),
        depth=depth,
        axis=axis,
        spacing=None if spacing is None else spacing[1:],
        aspect=None,
        orientation=wanted[1:],
        affine=affine,
        depth_spacing=None if spacing is None else spacing[0],
        depth_orientation=wanted[0],
    )


def _affine(plane: Plane, step: float, shape: tuple[int, int, int]) -> Affine | None:
    """From (slice, row, column) of the upright images to the patient, in mm (RAS)."""
    if plane.across is None or plane.down is None or plane.position is None or plane.spacing is None:
        return None
    rows, columns = plane.spacing
    assert plane.normal is not None
    lps = np.eye(4)
    lps[:3] = np.stack(
        [plane.normal * step, np.array(plane.down) * rows, np.array(plane.across) * columns, plane.position],
        axis=1,
    )
    depth = CUTS[axis_of(plane.side)][0]
    return turned_affine(
        np.diag([-1.0, -1, 1, 1]) @ lps, shape, depth + plane.orientation, depth + plane.wanted
    )


def placed(images: NDArray[np.float32], native_axis: int, slices: SliceRange) -> NDArray[np.float32]:
    """The slices of a whole volume, (n, H, W, c) upright and in order along `native_axis`, cut along `slices.axis`."""
    volume = images if len(images) == 1 else turned(images, CUTS[native_axis], CUTS[slices.axis])
    return volume[slices.start : slices.stop : slices.step]


def _two(values: Sequence[int]) -> tuple[int, int]:
    height, width = values
    return height, width


def _ratio(sides: Sequence[float]) -> float:
    return sides[0] / sides[1]
