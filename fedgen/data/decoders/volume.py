"""Volumes with an affine: one way from any such format to upright slices, whatever the order of its voxels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.decoders.guard import require_plausible
from fedgen.data.decoders.pixel_block import PixelBlock
from fedgen.data.findings import Note
from fedgen.data.index import Affine, SliceRange
from fedgen.data.orientation import OBLIQUE, OBLIQUE_NOTE
from fedgen.task.image_spec import known_spacing

#: What rows and columns of a slice, and later slices, grow towards, by the axis of the RAS volume that is cut.
_PLANES, _DEPTHS = ("IA", "IR", "PR"), ("R", "A", "S")
GUESSED = Note(
    "guessed_geometry",
    "the header does not say how the voxels lie in the patient, so left and right are a guess and no orientation is "
    "carried on.",
)


@dataclass(frozen=True)
class Volume:
    """A volume as its file describes it, before a voxel is decoded.

    Attributes:
        shape: (x, y, z) voxels.
        affine: (4, 4), from voxels to mm in the patient (RAS).
        known: whether the file states the affine, rather than nothing.
        read: read(number) -> (x, y, z) or (x, y, z, 3) real values of the volume of that number.
        volumes: how many volumes lie at this place.
        companions: see `Header.companions`.
        notes: see `Header.notes`.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    known: bool
    read: Callable[[int], NDArray[Any]]
    volumes: int = 1
    companions: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def arranged(
    block: PixelBlock,
    sizes: tuple[int, ...],
    spatial: tuple[int, ...],
    affine: NDArray[np.float64],
    known: bool,
    companions: tuple[str, ...],
) -> Volume:
    """A volume whose pixels are a block, the first axis fastest.

    Args:
        sizes: of its two to four axes.
        spatial: the numbers of those that lie in space; one more of 3 bytes is colour, any other is of volumes.
        affine: of the axes in space.
        known, companions: see `Volume`.

    Raises:
        UnreadableError: more than one axis beside those in space.
    """
    others = [axis for axis in range(len(sizes)) if axis not in spatial and sizes[axis] > 1]
    if len(others) > 1:
        raise UnreadableError(f"has {len(others)} axes beside those in space: split it into 3D volumes")
    sides = ([sizes[axis] for axis in spatial] + [1])[:3]
    colour = (
        bool(others) and sizes[others[0]] == 3 and block.dtype.str[1:] == "u1" and others[0] < min(spatial)
    )

    def read(number: int) -> NDArray[Any]:
        stored = block.read(math.prod(sizes)).reshape(sizes[::-1]).T
        inside = [axis for axis in range(len(sizes)) if axis in spatial]
        chosen = (
            np.moveaxis(stored, others, range(len(sizes) - len(others), len(sizes))) if others else stored
        )
        if not others:
            return chosen.reshape(sides)
        chosen = chosen.reshape(*(sizes[axis] for axis in inside), -1)
        return chosen.reshape(*sides, 3) if colour else chosen[..., number].reshape(sides)

    return Volume(
        shape=(sides[0], sides[1], sides[2]),
        affine=affine,
        known=known,
        read=read,
        volumes=sizes[others[0]] if others and not colour else 1,
        companions=companions,
    )


class VolumeDecoder(Decoder):
    """Slices of a volume after reorientation to the closest RAS axes.

    A slice is turned by 90 degrees, so that its rows run from anterior (or superior) downwards. Its columns grow to the
    patient's right (to anterior in a sagittal slice). A volume of a single slice is a 2D image, whatever axis is asked.
    """

    @abstractmethod
    def opened(self, path: Path) -> Volume:
        """The volume, nothing of it decoded.

        Raises:
            UnreadableError: with the reason; whatever else is raised becomes one.
        """

    def header(self, path: Path, axis: int) -> Header:
        """Sizes of the slices along `axis`."""
        stored = self.opened(path)
        require_plausible(path, *stored.shape, stored.volumes)
        turn = _turn(stored)
        shape = _turned_shape(stored.shape, turn)
        axis = _flat_axis(shape, axis)
        affine = _slice_affine(stored, turn, shape, axis)
        depth, rows, columns = np.linalg.norm(affine[:3, :3], axis=0)
        high, wide = _plane(shape, axis)
        through = known_spacing((depth,))
        return Header(
            size=(high, wide),
            depth=None if shape[axis] == 1 else shape[axis],
            axis=axis,
            spacing=known_spacing((rows, columns)),
            orientation=_PLANES[axis] if stored.known else "",
            depth_spacing=None if through is None else through[0],
            depth_orientation=_DEPTHS[axis] if stored.known else "",
            volumes=stored.volumes,
            affine=_rows(affine) if stored.known else None,
            companions=stored.companions,
            notes=(*stored.notes, *_geometry_notes(stored, affine)),
        )

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Scaled values of the slices, shape (n, H, W, 1), or (n, H, W, 3) of colour."""
        stored = self.opened(path)
        require_plausible(path, *stored.shape, stored.volumes)
        turn = _turn(stored)
        shape = _turned_shape(stored.shape, turn)
        if slices is None and 1 not in shape:
            raise UnreadableError("is a volume but the index names no slices: index the folder again")
        axis = _flat_axis(shape, 2) if slices is None else slices.axis
        values = np.asarray(stored.read(0 if slices is None else slices.volume), dtype=np.float32)
        canonical = np.moveaxis(nib.orientations.apply_orientation(values, turn), axis, 0)
        chosen = canonical if slices is None else canonical[slices.start : slices.stop : slices.step]
        upright = np.ascontiguousarray(np.rot90(chosen, axes=(1, 2)))
        return upright if upright.ndim == 4 else upright[..., np.newaxis]

    def series(self, paths: Sequence[Path], slices: SliceRange) -> Pixels:
        """As `pixels` of the first file: the others are its companions."""
        return self.pixels(paths[0], slices)


def _geometry_notes(stored: Volume, affine: NDArray[np.float64]) -> tuple[Note, ...]:
    if not stored.known:
        return (GUESSED,)
    # Each axis of the slices against the closest one of the patient.
    directions = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    degrees = np.degrees(np.arccos(np.clip(directions.max(axis=0), 0, 1))).max()
    return (OBLIQUE_NOTE,) if degrees > OBLIQUE else ()


def _turn(stored: Volume) -> NDArray[Any]:
    """From stored axes to the closest RAS axes, as nibabel describes it.

    Raises:
        UnreadableError: the affine is not of three independent axes.
    """
    matrix = stored.affine[:3, :3]
    if not np.isfinite(stored.affine).all() or not abs(np.linalg.det(matrix)) > 0:
        raise UnreadableError(
            "has an affine that is singular or not finite: repair the geometry in its header"
        )
    turn = nib.orientations.io_orientation(stored.affine)
    if np.isnan(turn).any():
        raise UnreadableError(
            "has an affine whose axes do not tell its sides apart: repair the geometry in its header"
        )
    return turn


def _turned_shape(shape: tuple[int, int, int], turn: NDArray[Any]) -> tuple[int, int, int]:
    turned = [0, 0, 0]
    for side, (axis, _) in zip(shape, turn, strict=True):
        turned[int(axis)] = int(side)
    return turned[0], turned[1], turned[2]


def _flat_axis(shape: tuple[int, int, int], axis: int) -> int:
    """The axis of a single slice where there is one, else the one asked for."""
    if shape[axis] == 1 or 1 not in shape:
        return axis
    return 2 - shape[::-1].index(1)


def _plane(shape: tuple[int, int, int], axis: int) -> tuple[int, int]:
    wide, high = (side for i, side in enumerate(shape) if i != axis)
    return high, wide


def _slice_affine(
    stored: Volume, turn: NDArray[Any], shape: tuple[int, int, int], axis: int
) -> NDArray[np.float64]:
    """From (slice, row, column) to mm: what `pixels` does to the voxels, as a matrix."""
    canonical = stored.affine @ nib.orientations.inv_ornt_aff(turn, stored.shape)
    across, up = (i for i in range(3) if i != axis)
    pick = np.zeros((4, 4))
    pick[axis, 0] = pick[across, 2] = pick[3, 3] = 1
    pick[up, 1], pick[up, 3] = -1, shape[up] - 1
    return np.asarray(canonical @ pick)


def _rows(affine: NDArray[np.float64]) -> Affine:
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in affine[:3])
