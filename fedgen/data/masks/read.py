"""The masks of an index entry, on the pixels of its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER as DICOM
from fedgen.data.decoders.dicom.tags import read_tags, text
from fedgen.data.decoders.guard import guard
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.decoders.stored_mask import StoredMask
from fedgen.data.decoders.volume import VolumeDecoder
from fedgen.data.index import IndexEntry
from fedgen.data.masks.contours import contour_labels
from fedgen.data.masks.labels import MaskMark, class_labels
from fedgen.data.masks.place import Labels, placed
from fedgen.data.masks.segments import segments
from fedgen.data.orientation import turned


def read_masks(folder: Path, entry: IndexEntry) -> tuple[Labels, MaskMark]:
    """The classes of an entry's pixels, and how they were found.

    Returns:
        (n, H, W) uint8 or (1, D, H, W) of a volume that is one image; 0 is outside of every class.

    Raises:
        UnreadableError: damaged, of values with more than one meaning, or not where its image is.
    """
    assert entry.mask is not None
    with guard():
        return _read(folder, entry, entry.mask)


def _read(folder: Path, entry: IndexEntry, mask: str) -> tuple[Labels, MaskMark]:
    path = folder / mask
    axis = 2 if entry.slices is None else entry.slices.axis
    decoder = decoder_for(path)
    modality = text(read_tags(path, stop_before_pixels=True), "Modality") if decoder is DICOM else ""
    if modality == "RTSTRUCT":
        labels, mark = contour_labels(read_tags(path, stop_before_pixels=False), entry), MaskMark.PRESENT
        return (labels[np.newaxis] if len(entry.size) == 3 else labels), mark
    stored = segments(path, entry.structure) if modality == "SEG" else decoder.mask(path, axis)
    labels, mark = class_labels(stored)
    if stored.affine is not None and entry.affine is not None:
        if _never_placed(path, folder / entry.path):
            raise UnreadableError(
                f"has the affine that tools write which know none, and its image {entry.path} has another, so that it "
                "may be mirrored or moved: write the image's affine into it"
            )
        labels, how = placed(labels, stored.affine, entry, entry.affine)
        mark |= how
    else:
        labels = _unplaced(folder, entry, stored, labels)
    return (labels[np.newaxis] if len(entry.size) == 3 else labels), mark


def _never_placed(mask: Path, image: Path) -> bool:
    """Whether the affine of a mask is a program's default (axes without a turn, origin at zero), and not its image's.

    By its affine such a mask may even lie exactly on its image, only mirrored.
    """
    own, other = _stored_affine(mask), _stored_affine(image)
    if own is None or own[:3, 3].any() or (own[:3, :3] - np.diag(np.diag(own[:3, :3]))).any():
        return False
    return other is None or not np.allclose(own, other, rtol=0, atol=1e-3)


def _stored_affine(path: Path) -> NDArray[np.float64] | None:
    decoder = decoder_for(path)
    return decoder.opened(path).affine if isinstance(decoder, VolumeDecoder) else None


def _unplaced(folder: Path, entry: IndexEntry, stored: StoredMask, labels: Labels) -> Labels:
    """A mask of which, or of whose image, the place in the patient is not known: it must fit pixel by pixel."""
    if stored.affine is None and len(labels) == 1 and entry.n_images == 1 and len(entry.size) == 2:
        drawn = turned(labels[0], entry.stored_orientation, entry.orientation)
        if drawn.shape != entry.size:
            raise UnreadableError(_other_size(entry, labels))
        return drawn[np.newaxis]
    if stored.affine is not None or entry.affine is not None:
        silent, other = ("image", "mask") if stored.affine is not None else ("mask", "image")
        raise UnreadableError(
            f"cannot be laid on its image {entry.path}: the {silent} does not say how it lies in the patient, and the "
            f"{other} does; write the {other}'s affine into it"
        )
    assert entry.slices is not None
    image = decoder_for(folder / entry.path).header(folder / entry.path, entry.slices.axis)
    if labels.shape != (image.depth or 1, *image.size):
        raise UnreadableError(_other_size(entry, labels))
    return labels[entry.slices.start : entry.slices.stop : entry.slices.step]


def _other_size(entry: IndexEntry, labels: Labels) -> str:
    own = " x ".join(map(str, labels.shape))
    return f"is {own}, but its image {entry.path} is {' x '.join(map(str, entry.size))}"
