"""From a mask's own grid to that of its image: by the millimetres of both, or not at all."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.index import Affine, IndexEntry
from fedgen.data.masks.labels import MaskMark

Labels = NDArray[np.uint8]
#: Grids whose corners are this close, in pixels, are one.
_SAME = 0.1


def placed(
    labels: Labels, affine: Affine, image: IndexEntry, image_affine: Affine
) -> tuple[Labels, MaskMark]:
    """A mask with a known place on the pixels of its image, by nearest neighbours; outside of the mask is 0.

    Args:
        labels: (D, H, W) classes of the whole mask.
        affine: from its (slice, row, column) to mm in the patient.
        image: the image, of which some slices may be taken.
        image_affine: its own.

    Returns:
        (n, H, W) classes, and what was done.

    Raises:
        UnreadableError: the mask does not lie on its image.
    """
    chosen = _slices(image)
    height, width = image.size[-2:]
    # From (number of the chosen slice, row, column) to the mask's own (slice, row, column).
    pick = np.diag([float(chosen.step), 1.0, 1.0, 1.0])
    pick[0, 3] = chosen.start
    to_mask = np.linalg.inv(square(affine)) @ square(image_affine)
    shape = (len(chosen), height, width)
    if (
        labels.shape[1:] == shape[1:]
        and chosen[-1] < labels.shape[0]
        and _is_identity(to_mask, chosen, shape)
    ):
        return labels[chosen.start : chosen.stop : chosen.step], MaskMark(0)
    if not _meets(to_mask, labels.shape, shape):
        raise UnreadableError(
            f"lies outside of its image {image.path}: see whether it is that of another image"
        )
    matrix = to_mask @ pick
    moved, covered = _nearest(labels, matrix, shape)
    mark = MaskMark(0) if _is_lattice(matrix, shape) else MaskMark.RESAMPLED
    return moved, mark if covered else mark | MaskMark.PARTIAL


def square(affine: Affine) -> NDArray[np.float64]:
    """The (4, 4) matrix of three rows."""
    return np.array([*affine, (0.0, 0.0, 0.0, 1.0)])


def _slices(image: IndexEntry) -> range:
    return (
        range(1) if image.slices is None else range(image.slices.start, image.slices.stop, image.slices.step)
    )


def _corners(first: tuple[float, ...], last: tuple[float, ...]) -> NDArray[np.float64]:
    """(4, 8) homogeneous corners of a box."""
    ends = list(itertools.product(*zip(first, last, strict=True)))
    return np.column_stack([np.array(ends), np.ones(len(ends))]).T


def _is_identity(to_mask: NDArray[np.float64], chosen: range, shape: tuple[int, int, int]) -> bool:
    corners = _corners((chosen[0], 0, 0), (chosen[-1], shape[1] - 1, shape[2] - 1))
    return bool(np.abs(to_mask @ corners - corners).max() < _SAME)


def _nearest(labels: Labels, matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> tuple[Labels, bool]:
    """The label at the place of each pixel, 0 outside of the mask, and whether no pixel is outside.

    scipy.ndimage counts what is beyond the centre of a border pixel as outside, though it is nearest to that pixel.
    """
    rows, columns = np.indices(shape[1:], dtype=np.float64)
    moved, covered = np.zeros(shape, np.uint8), True
    sides = np.array(labels.shape)
    for number in range(shape[0]):
        places = matrix[:3, :3] @ np.stack([np.full(rows.size, float(number)), rows.ravel(), columns.ravel()])
        nearest = np.floor(places + matrix[:3, 3:] + 0.5).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < sides[:, np.newaxis])).all(axis=0)
        covered = covered and bool(inside.all())
        moved[number].flat[np.flatnonzero(inside)] = labels[tuple(nearest[:, inside])]
    return moved, covered


def _is_lattice(matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> bool:
    """Whether each pixel is one of the mask's own, in whatever order and from whatever corner."""
    whole = np.rint(matrix)
    corners = _corners((0, 0, 0), (shape[0] - 1, shape[1] - 1, shape[2] - 1))
    # A step over several slices of the mask is a whole number too.
    return bool(np.abs((matrix - whole) @ corners).max() < _SAME) and bool(
        (np.count_nonzero(whole[:3, :3], axis=0) == 1).all()
    )


def _meets(to_mask: NDArray[np.float64], mask: tuple[int, ...], shape: tuple[int, int, int]) -> bool:
    """Whether the box around a mask, on the image's grid, meets the image; how deep that is is not asked."""
    last = tuple(side - 0.5 for side in mask)
    corners = (np.linalg.inv(to_mask) @ _corners((-0.5, -0.5, -0.5), last))[:3]
    low, high = corners.min(axis=1), corners.max(axis=1)
    inside = [low[axis] < shape[axis] - 0.5 and high[axis] > -0.5 for axis in (1, 2)]
    return all(inside) and bool(high[0] > -0.5)
