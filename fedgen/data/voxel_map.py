"""From an array on one grid of the patient to another grid on the same places: axes are swapped and turned, exactly.

A decoder turns what it reads, so that every image lies the same way up; what is made of it has to lie as the file does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedgen.data.index import Affine
from fedgen.errors import DataError

#: How far from whole voxels two grids may lie on each other.
NEAR = 0.01


def matrix(rows: Affine) -> NDArray[np.float64]:
    """(4, 4) of three rows."""
    return np.vstack([np.array(rows, dtype=np.float64), [0, 0, 0, 1]])


def regrid(
    voxels: NDArray[np.generic],
    affine: NDArray[np.float64],
    wanted: NDArray[np.float64],
    shape: Sequence[int],
) -> NDArray[np.generic]:
    """The same voxels as they lie on another grid.

    Args:
        voxels: (a, b, c) on a grid.
        affine: (4, 4) from its indices to mm.
        wanted: (4, 4) of the other grid.
        shape: three sides of it; it may be a part of the first.

    Raises:
        DataError: its voxels do not lie on voxels of the first.
    """
    between = np.linalg.inv(affine) @ wanted
    whole = np.rint(between)
    corner = np.array([*(np.array(shape) - 1), 1.0])
    last = whole @ corner
    straight = (np.abs(whole[:3, :3]).sum(axis=0) == 1).all() and (
        np.abs(whole[:3, :3]).sum(axis=1) == 1
    ).all()
    near = np.abs((between - whole)[:3] @ np.abs(np.stack([corner, [0, 0, 0, 1]], axis=1))).max() <= NEAR
    inside = (np.minimum(whole[:3, 3], last[:3]) >= 0).all() and (
        np.maximum(whole[:3, 3], last[:3]) < voxels.shape
    ).all()
    if not (straight and near and inside):
        raise DataError(
            "What was made does not lie on the voxels of its source, so it cannot be written on the source's grid."
        )
    grids = np.indices(tuple(shape)).reshape(3, -1)
    places = whole[:3, :3].astype(np.int64) @ grids + whole[:3, 3].astype(np.int64)[:, np.newaxis]
    found: NDArray[np.generic] = voxels[tuple(places)].reshape(tuple(shape))
    return found
