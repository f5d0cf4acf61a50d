"""DICOM segmentations (PS3.3, A.51) as masks, read with highdicom."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.guard import one_line
from fedgen.data.decoders.stored_mask import StoredMask
from fedgen.data.findings import listing
from fedgen.data.index import Affine

#: From DICOM's axes (left, posterior, superior) to those of an affine here.
_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def segments(path: Path, structure: str) -> StoredMask:
    """All slices of a segmentation, by its own affine.

    Args:
        path: a file whose Modality is SEG.
        structure: label or number of the one segment that is asked for, which becomes class 1; empty for all of them,
            whose numbers are the classes.

    Raises:
        UnreadableError: no such segment, segments that overlap, or frames that are no volume.
    """
    # It takes a second to import, and few folders have any.
    from highdicom.seg import segread

    try:
        found = segread(path)
        labels = {
            int(number): str(found.get_segment_description(number).segment_label)
            for number in found.segment_numbers
        }
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise UnreadableError(
            f"is no DICOM segmentation as the standard has them ({one_line(error)})"
        ) from error
    numbers = [number for number, label in labels.items() if _is_asked(structure, number, label)]
    if not numbers:
        raise UnreadableError(
            f"has no segment {structure!r} (it has {listing(labels.values())}): name one of them in data.columns.mask"
        )
    fractional = str(found.segmentation_type.value) == "FRACTIONAL"
    try:
        values, affine = _volume(found, numbers, fractional)
    # highdicom asks a database of the frames, which has no column for a place that they do not have.
    except (AttributeError, TypeError, ValueError, KeyError, RuntimeError, sqlite3.Error) as error:
        if "overlap" in str(error).lower():
            raise UnreadableError(
                f"has segments that overlap ({listing(labels.values())}): name one of them in data.columns.mask, such "
                f"as SEG/{labels[numbers[0]]}"
            ) from error
        return _picture(found, numbers, structure, error)
    return StoredMask(_one_number(values, numbers, structure, fractional), affine)


def _is_asked(structure: str, number: int, label: str) -> bool:
    return structure.casefold() in ("", label.strip().casefold(), str(number))


def _volume(found: Any, numbers: list[int], fractional: bool) -> tuple[np.ndarray, Affine]:
    volume = found.get_volume(segment_numbers=numbers, combine_segments=not fractional)
    rows = (_RAS @ np.asarray(volume.affine, np.float64))[:3]
    return np.asarray(volume.array), tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows)


def _one_number(values: np.ndarray, numbers: list[int], structure: str, fractional: bool) -> np.ndarray:
    """A class, or a probability, for each voxel."""
    if fractional and len(numbers) > 1:
        most = values.max(axis=-1)
        values = np.where(most >= 0.5, np.array(numbers)[values.argmax(axis=-1)], 0)
    elif fractional:
        values = values[..., 0]
    elif structure:
        values = values > 0
    return values.astype(np.float32)


def _picture(found: Any, numbers: list[int], structure: str, error: Exception) -> StoredMask:
    """A segmentation without a place in the patient, a frame a segment: it is drawn on its image."""
    frames = np.asarray(found.pixel_array > 0).reshape(-1, *found.pixel_array.shape[-2:])
    groups = found.get("PerFrameFunctionalGroupsSequence") or ()
    shown = [
        int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for item in groups
        if "SegmentIdentificationSequence" in item
    ]
    if len(frames) == 1:
        shown = shown or numbers[:1]
    if len(set(shown)) != len(frames) or len(shown) != len(frames):
        raise UnreadableError(f"is a segmentation whose frames are no volume ({one_line(error)})") from error
    asked = [number for number in shown if number in numbers]
    if frames[[shown.index(number) for number in asked]].sum(axis=0).max(initial=0) > 1:
        raise UnreadableError(
            "has segments that overlap: name one of them in data.columns.mask, with its name behind SEG/"
        )
    classes = np.zeros(frames.shape[1:], np.float32)
    for number in asked:
        classes[frames[shown.index(number)]] = 1 if structure or len(frames) == 1 else number
    return StoredMask(classes[np.newaxis])
