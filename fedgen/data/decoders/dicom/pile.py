"""Images side by side in the patient become a volume: their order, their distances, and what is odd about them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.dicom.plane import Plane
from fedgen.data.decoders.guard import UnreadableError
from fedgen.data.findings import Note

#: Images whose places differ by less, in mm, lie at one place.
SAME_PLACE = 0.02
#: Share of the distance of neighbours by which one may differ from the others.
EVEN = 0.1
#: Degrees by which a stack may lean before it is told, as that of a tilted gantry does.
TILT = 1.0

_UNEVEN = Note(
    "uneven_slices",
    "its slices are not at equal distances (some are missing, or the distance changes); each is used as it is.",
)
_TILTED = Note(
    "tilted_slices",
    f"its slices are shifted against each other by more than {TILT:g} degree, as under a tilted gantry; each is used "
    "as it is, and a volume of them is sheared.",
)


@dataclass(frozen=True)
class Stack:
    """Images of one orientation in the order in which they lie, towards the R, A or S side of the patient.

    Attributes:
        volumes: numbers of the images of each volume; several where images lie at one place.
        step: mm between neighbours of the first volume; None where there is one image or the distances differ.
        notes: what is odd.
    """

    volumes: tuple[tuple[int, ...], ...]
    step: float | None
    notes: tuple[Note, ...] = ()


def stack_of(
    planes: Sequence[Plane], keys: Sequence[Sequence[Hashable]] = (), ranks: Sequence[float] = ()
) -> Stack:
    """Order images of one orientation by their places along the normal.

    Args:
        planes: of n images with positions, all of one direction.
        keys: what tells images at one place apart, such as echo time: for each kind of key its value of each image. The
            first kind that suffices is used, and its order is that of the volumes.
        ranks: the order of images at one place, where no key suffices and there are equally many at every place.

    Raises:
        UnreadableError: images lie at one place and nothing tells them apart.
    """
    normal = planes[0].normal
    assert normal is not None
    points = np.array([plane.position for plane in planes])
    along = points @ normal
    places = _places(along)
    volumes = [
        tuple(sorted(numbers, key=lambda number: places[number])) for numbers in _volumes(places, keys, ranks)
    ]
    first = list(volumes[0])
    distances = np.diff(along[first])
    notes = []
    even = _even(distances)
    if not even:
        notes.append(_UNEVEN)
    if len(first) > 1 and _lean(points[first], normal) > TILT:
        notes.append(_TILTED)
    step = float(np.mean(distances)) if len(distances) and even else None
    return Stack(tuple(volumes), step, tuple(notes))


def _places(along: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of the place of each image; those closer than SAME_PLACE share one."""
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order]) > SAME_PLACE
    places = np.zeros(len(along), np.int64)
    places[order] = np.concatenate([[0], np.cumsum(steps)])
    return places


def _volumes(
    places: NDArray[np.int64], keys: Sequence[Sequence[Hashable]], ranks: Sequence[float]
) -> list[list[int]]:
    """The images of each volume: no two of one volume lie at one place, and there are no more volumes than need be."""
    counts = np.bincount(places)
    together = list(zip(*keys, strict=True)) if keys else []
    for values in ([0] * len(places), *keys, together, _ranked(places, ranks)):
        groups: dict[Hashable, list[int]] = {}
        for number, value in enumerate(values):
            groups.setdefault(value, []).append(number)
        apart = all(len({int(places[number]) for number in group}) == len(group) for group in groups.values())
        if apart and len(groups) == counts.max():
            return [groups[value] for value in sorted(groups, key=_order)]
    raise UnreadableError("holds several images at one place, and nothing in their tags tells them apart")


def _ranked(places: NDArray[np.int64], ranks: Sequence[float]) -> Sequence[Hashable]:
    """How many images at its place come before each one; nothing where places have different numbers of them."""
    if not len(ranks) or len(set(np.bincount(places).tolist())) > 1:
        return []
    order = np.lexsort((np.array(ranks), places))
    each = np.empty(len(places), np.int64)
    each[order] = np.arange(len(places)) % int(np.bincount(places)[0])
    return each.tolist()


def _order(value: Hashable) -> tuple[tuple[bool, float, str], ...]:
    # Numbers by size, before words; a key is one of them or a tuple of keys.
    if isinstance(value, tuple):
        return tuple(part for each in value for part in _order(each))
    if isinstance(value, (int, float)):
        return ((False, float(value), ""),)
    return ((True, 0.0, str(value)),)


def _even(distances: NDArray[np.float64]) -> bool:
    if len(distances) < 2:
        return True
    middle = float(np.median(distances))
    return bool(np.abs(distances - middle).max() <= EVEN * middle + SAME_PLACE)


def _lean(points: NDArray[np.float64], normal: NDArray[np.float64]) -> float:
    """Degrees between the way from the first image to the last and the normal."""
    way = points[-1] - points[0]
    across = float(np.linalg.norm(way - (way @ normal) * normal))
    return float(np.degrees(np.arctan2(across, abs(float(way @ normal)))))
