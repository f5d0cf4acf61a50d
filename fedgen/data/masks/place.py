"""From a mask's own grid to that of its image: by the millimetres of both, or not at all."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

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
    moved = affine_transform(labels, matrix[:3, :3], matrix[:3, 3], shape, order=0, mode="constant")
    covered = affine_transform(
        np.ones_like(labels), matrix[:3, :3], matrix[:3, 3], shape, order=0, mode="constant"
    )
    return moved, MaskMark.RESAMPLED | (MaskMark(0) if covered.all() else MaskMark.PARTIAL)


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


def _meets(to_mask: NDArray[np.float64], mask: tuple[int, ...], shape: tuple[int, int, int]) -> bool:
    """Whether the box around a mask, on the image's grid, meets the image; how deep that is is not asked."""
    last = tuple(side - 0.5 for side in mask)
    corners = (np.linalg.inv(to_mask) @ _corners((-0.5, -0.5, -0.5), last))[:3]
    low, high = corners.min(axis=1), corners.max(axis=1)
    inside = [low[axis] < shape[axis] - 0.5 and high[axis] > -0.5 for axis in (1, 2)]
    return all(inside) and bool(high[0] > -0.5)
