"""Contours of radiotherapy (RTSTRUCT; PS3.3, C.8.8.6) as masks of the slices that they are drawn on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.findings import listing
from fedgen.data.index import IndexEntry
from fedgen.data.masks.place import square

#: A contour may leave its slice by so much of the distance between slices.
_IN_PLANE = 0.5
_RAS = np.array([-1.0, -1.0, 1.0])


def contour_labels(tags: Any, entry: IndexEntry) -> NDArray[np.uint8]:
    """Pixels whose centre is inside of a structure, on the slices of its image.

    Args:
        tags: dataset whose Modality is RTSTRUCT.
        entry: the image, of which some slices may be taken; its `structure` names the ROI, empty where there is one.

    Returns:
        (n, H, W) uint8 in {0, 1}; of contours in one slice those inside others are holes.

    Raises:
        UnreadableError: no such structure, several of which none is named, contours in other planes than the slices, or
            an image of which it is not known where it lies.
    """
    if entry.affine is None:
        raise UnreadableError(
            f"has contours in mm, but its image {entry.path} does not say how it lies in the patient"
        )
    chosen = (
        range(1) if entry.slices is None else range(entry.slices.start, entry.slices.stop, entry.slices.step)
    )
    labels = np.zeros((len(chosen), *entry.size[-2:]), bool)
    to_pixels = np.linalg.inv(square(entry.affine))
    met = False
    for points in _contours(tags, entry.structure):
        places = np.column_stack([points * _RAS, np.ones(len(points))]) @ to_pixels.T
        depth = places[:, 0]
        if np.ptp(depth) > _IN_PLANE:
            raise UnreadableError(
                f"has contours in other planes than the slices of its image {entry.path}: set data.slices.axis to "
                "theirs"
            )
        number = round(float(depth.mean()))
        met = True
        if number in chosen:
            labels[chosen.index(number)] ^= polygon2mask(labels.shape[1:], places[:, 1:3])
    if not met:
        raise UnreadableError(
            "has a structure without closed contours: name another one in data.columns.mask"
        )
    return labels.astype(np.uint8)


def _contours(tags: Any, structure: str) -> Iterator[NDArray[np.float64]]:
    """(n, 3) points of each closed contour in LPS mm."""
    names = {
        int(roi.ROINumber): str(roi.get("ROIName", "")).strip()
        for roi in tags.get("StructureSetROISequence") or ()
    }
    asked = [
        number for number, name in names.items() if structure.casefold() in (name.casefold(), str(number), "")
    ]
    if not asked or (not structure and len(asked) > 1):
        what = f"no structure {structure!r}" if structure else f"{len(asked)} structures"
        raise UnreadableError(
            f"has {what} (it has {listing(names.values()) or 'none'}): name one in data.columns.mask, such as "
            "RTSTRUCT/NAME"
        )
    for roi in tags.get("ROIContourSequence") or ():
        if int(roi.get("ReferencedROINumber", -1)) not in asked:
            continue
        for contour in roi.get("ContourSequence") or ():
            points = np.array([float(value) for value in contour.get("ContourData") or ()])
            if (
                contour.get("ContourGeometricType", "") == "CLOSED_PLANAR"
                and len(points) >= 9
                and not len(points) % 3
            ):
                yield points.reshape(-1, 3)
