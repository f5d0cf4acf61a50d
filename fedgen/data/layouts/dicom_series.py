"""Files of one DICOM series put together: which of them lie side by side and are a volume, and which stand alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedgen.data.decoders.decoder import Header
from fedgen.data.decoders.dicom.native import Native
from fedgen.data.decoders.dicom.pile import Stack, stack_of
from fedgen.data.decoders.dicom.plane import same_direction
from fedgen.data.decoders.dicom.tags import numbers, words
from fedgen.data.findings import Note

#: What tells files at one place apart, in the order it is tried; its order is that of the volumes.
_KEYS = ("EchoTime", "TemporalPositionIdentifier", "DiffusionBValue", "AcquisitionNumber", "TriggerTime")
#: Modalities that cut the body into slices.
_SLICED = ("CT", "MR", "PT", "NM")

#: How many times as long as wide a pixel is before it is told.
COARSE = 3.0

_UNPLACED = Note(
    "slices_not_chosen",
    "it says not where it lies in the patient (ImagePositionPatient), so it is an image of its own, and data.slices "
    "does not choose among those of its series.",
)
_ONE_BY_ONE = Note(
    "slices_not_chosen",
    "the table has a label, or a rule a mask, for it alone (SOPInstanceUID), so it is an image of its own, and "
    "data.slices does not choose among those of its series.",
)
_MIXED = Note(
    "several_stacks",
    "its series holds images of several directions, sizes or spacings; those that belong together are a volume each.",
)


@dataclass(frozen=True)
class Picture:
    """One DICOM object that is a picture: what is needed of it once its file is closed.

    Attributes:
        path: relative to the folder.
        patient, site, label, mask, modality, series, study, covariates, embedding: as in an `IndexEntry`.
        series_uid: SeriesInstanceUID, or empty.
        instance: SOPInstanceUID, or empty.
        native: its images.
        keys: of `_KEYS` and ImageType.
        rank: InstanceNumber.
        notes: of the file.
    """

    path: str
    patient: str
    site: str
    label: str | None
    mask: str | None
    modality: str
    series: str
    study: str
    series_uid: str
    instance: str
    native: Native
    keys: tuple[Hashable, ...]
    rank: float
    notes: tuple[Note, ...] = ()
    covariates: tuple[float, ...] | None = ()
    embedding: str | None = None

    @property
    def placed(self) -> bool:
        """Whether it is one image that says where it lies in the patient."""
        return self.native.frames == 1 and self.native.plane.position is not None and bool(self.series_uid)


@dataclass(frozen=True)
class SeriesVolume:
    """Pictures in the order in which they lie; one that stands alone is a volume of itself.

    Attributes:
        pictures: of the volume.
        native: their images together.
    """

    pictures: tuple[Picture, ...]
    native: Native


def series_keys(tags: Any) -> tuple[tuple[Hashable, ...], float]:
    """What tells a file apart from others at its place, and its InstanceNumber.

    Raises:
        UnreadableError: an element is damaged.
    """
    keys: list[Hashable] = [numbers(tags, keyword) for keyword in _KEYS]
    return (*keys, words(tags, "ImageType")), (*numbers(tags, "InstanceNumber"), 0.0)[0]


def stacks(pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
    """Pictures of one series, direction, size and spacing together; each that has no place for itself."""
    groups: dict[Hashable, list[list[Picture]]] = {}
    for picture in pictures:
        if not picture.placed:
            yield [picture]
            continue
        native = picture.native
        key = (
            picture.patient,
            picture.study,
            picture.series_uid,
            native.size,
            _rounded(native.plane.spacing),
        )
        same_size = groups.setdefault(key, [])
        for group in same_size:
            if same_direction(group[0].native.plane, native.plane):
                group.append(picture)
                break
        else:
            same_size.append([picture])
    for same_size in groups.values():
        yield from same_size


def volumes(stack: Sequence[Picture]) -> list[SeriesVolume]:
    """The volumes of pictures that lie side by side; several where some lie at one place.

    Raises:
        UnreadableError: some lie at one place, and nothing tells them apart.
    """
    if len(stack) == 1:
        return [SeriesVolume((stack[0],), stack[0].native)]
    planes = [picture.native.plane for picture in stack]
    kinds = list(zip(*(picture.keys for picture in stack), strict=True))
    found = stack_of(
        planes, [kind for kind in kinds if len(set(kind)) > 1], [picture.rank for picture in stack]
    )
    return [_volume([stack[number] for number in numbers]) for numbers in found.volumes]


def _volume(pictures: Sequence[Picture]) -> SeriesVolume:
    if len(pictures) == 1:
        return SeriesVolume((pictures[0],), pictures[0].native)
    own: Stack = stack_of([picture.native.plane for picture in pictures])
    plane = replace(pictures[0].native.plane, notes=())
    return SeriesVolume(tuple(pictures), Native(pictures[0].native.size, plane, own, len(pictures)))


def series_notes(
    pictures: Iterable[Picture], one_by_one: bool, slices_asked: bool
) -> Iterator[tuple[str, Note]]:
    """What a person should know of series that `data.slices` cannot choose from, or that hold several stacks.

    Args:
        pictures: all of a folder.
        one_by_one: whether the table labels single images.
        slices_asked: whether the study states `data.slices`.
    """
    by_series: dict[str, list[Picture]] = {}
    for picture in pictures:
        if picture.series_uid:
            by_series.setdefault(picture.series_uid, []).append(picture)
    for series in by_series.values():
        if len(series) == 1:
            continue
        if one_by_one and slices_asked:
            yield from ((picture.path, _ONE_BY_ONE) for picture in series)
        placed = [picture for picture in series if picture.placed]
        if series[0].modality in _SLICED and not one_by_one:
            yield from (
                (picture.path, _UNPLACED)
                for picture in series
                if picture.native.frames == 1 and not picture.placed
            )
        if not one_by_one and len(placed) > 1 and len(list(stacks(placed))) > 1:
            yield from ((picture.path, _MIXED) for picture in placed)


def cut_across(header: Header, native_axis: int) -> Iterator[Note]:
    """A word where slices are cut across thick ones, which makes pixels of very unequal sides.

    Args:
        header: of the volume as it is cut.
        native_axis: the axis that its own slices follow one another along.
    """
    if header.spacing is not None and max(header.spacing) > COARSE * min(header.spacing):
        yield Note(
            "cut_across",
            f"its own slices follow one another along axis {native_axis}, far apart, and are cut across along axis "
            f"{header.axis}, which makes coarse images: data.slices.axis {native_axis} takes its own.",
        )


def _rounded(spacing: tuple[float, ...] | None) -> Hashable:
    return None if spacing is None else tuple(float(f"{side:.3g}") for side in spacing)
