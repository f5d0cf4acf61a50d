"""Whether a face could be rendered from a volume: a stated guess by the shape of what is not air.

Measured from the vertex and the forehead of a head of length L (forehead to occiput, 195 mm of an adult), the nose and
the mouth lie 0.6 to 0.95 L below the one and at most 0.2 L behind the other (distances of anthropometry: vertex to
nasion 0.57 L, to the mouth 0.93 L). In a brain alone, and in a head whose face was taken off, nothing is there: the
frontal lobes end above, the temporal lobes and the cerebellum lie behind.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

#: mm of the grid on which the shape is judged; averaging over it quiets the noise in air.
_GRID = 4.0
#: Lengths of a head in mm, from the newborn's to the largest, and breadths as shares of the length.
_LENGTHS, _BREADTHS = (95.0, 260.0), (0.55, 1.05)
#: Part of the head below its vertex by which its length is measured, in mm: above the nose.
_UPPER = 100.0
#: Of the length: below the vertex, behind the forehead, to each side of the middle.
_BELOW, _BEHIND, _BESIDE = (0.62, 0.95), 0.2, 0.2
#: The least of that block's height that must be in the picture.
_LEAST_HEIGHT = 0.1
#: Share of the block that is tissue where there is a face, whose cavities and air before the mouth fill the rest.
_TISSUE = 0.15
#: Share of the largest cross-section that may be cut off at the upper border: more, and the vertex is not there.
_CUT = 0.2
#: Of CT: nothing below air matters, nor how dense bone is.
_AIR, _BONE = -1000.0, 300.0


class Face(Enum):
    """What the shape of a volume says."""

    SUSPECTED = "a face can probably be rendered"
    NONE = "a head or a brain without a face"
    NOT_JUDGED = "no whole head was recognised"


def judged(volume: NDArray[np.float32], spacing: tuple[float, float, float]) -> Face:
    """Whether a face could be rendered from a volume.

    Args:
        volume: (D, H, W) from below upwards, from the front to the back, from side to side.
        spacing: mm along each.
    """
    shape, sides = _shape(volume, spacing)
    down, back, side = sides
    tops = np.flatnonzero(shape.any(axis=(1, 2)))
    areas = shape.sum(axis=(1, 2))
    if not tops.size or areas[0] > _CUT * areas.max():
        return Face.NOT_JUDGED
    top = int(tops[0])
    upper = shape[top : top + max(1, round(_UPPER / down))]
    front, behind = _ends(upper, (0, 2))
    left, right = _ends(upper, (0, 1))
    length, breadth = (behind - front) * back, (right - left) * side
    if not (_LENGTHS[0] <= length <= _LENGTHS[1] and _BREADTHS[0] <= breadth / length <= _BREADTHS[1]):
        return Face.NOT_JUDGED
    first, last = (top + round(share * length / down) for share in _BELOW)
    if (len(shape) - first) * down < _LEAST_HEIGHT * length:
        return Face.NOT_JUDGED
    middle, beside = (left + right) / 2, _BESIDE * length / side
    block = shape[
        first:last,
        front : front + max(1, round(_BEHIND * length / back)),
        max(0, round(middle - beside)) : round(middle + beside),
    ]
    return Face.SUSPECTED if block.mean() >= _TISSUE else Face.NONE


def _shape(
    volume: NDArray[np.float32], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.bool_], tuple[float, float, float]]:
    """(D, H, W) where the largest thing that is not air lies, from above downwards, and the mm of its grid."""
    steps = [max(1, round(_GRID / side)) for side in spacing]
    steps = [min(step, size) for step, size in zip(steps, volume.shape, strict=True)]
    counts = [size // step for size, step in zip(volume.shape, steps, strict=True)]
    # From above: where the height is no multiple of a step, what is left over is below.
    whole = np.nan_to_num(volume[::-1], nan=0.0)[
        tuple(slice(n * s) for n, s in zip(counts, steps, strict=True))
    ]
    low, high = np.percentile(whole, (0.5, 99.5))
    if low <= _AIR:
        low, high = _AIR, min(high, _BONE)
    whole = np.clip(whole, low, high)
    grid = whole.reshape(counts[0], steps[0], counts[1], steps[1], counts[2], steps[2]).mean(axis=(1, 3, 5))
    sides = tuple(float(side * step) for side, step in zip(spacing, steps, strict=True))
    if grid.min() == grid.max():
        return np.zeros(grid.shape, bool), (sides[0], sides[1], sides[2])
    parts, number = ndimage.label(ndimage.binary_opening(grid > threshold_otsu(grid)))
    if not number:
        return np.zeros(grid.shape, bool), (sides[0], sides[1], sides[2])
    largest = int(np.bincount(parts.reshape(-1))[1:].argmax()) + 1
    return parts == largest, (sides[0], sides[1], sides[2])


def _ends(shape: NDArray[np.bool_], others: tuple[int, int]) -> tuple[int, int]:
    """First place along the axis that is not one of `others` where anything lies, and the one behind the last."""
    places = np.flatnonzero(shape.any(axis=others))
    return int(places[0]), int(places[-1]) + 1
