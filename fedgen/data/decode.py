"""Decode a site once: every image windowed, resized and fingerprinted into tensors of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.index import IndexEntry
from fedgen.data.masks.read import read_masks
from fedgen.data.pixels import centre, check_window, fitted_size, resize, resize_mask, window
from fedgen.data.read import data_error, parallel, read_images
from fedgen.study.data import DataSection


@dataclass(frozen=True)
class DecodedSite:
    """N images of one site in the order of its entries, slices of a volume in ascending order.

    Attributes:
        images: (N, C, *size) float16 in [-1, 1], centred; the padding has the value -1.
        masks: (N, 1, *size) uint8 classes, 0 outside of all and where an image has no mask; None where none has one.
        marks: (N,) uint8 of `MaskMark`: which images have a mask, and how it was read.
        entries: (N,) int64 index of the entry each image comes from.
        above: (N,) float32 share of stored pixels above the window.
        below: (N,) float32 share of stored pixels below it.
        span: (N,) float32 share of the window that the image's values span, in [0, 1].
        fingerprints: of the stored values.
    """

    images: NDArray[np.float16]
    masks: NDArray[np.uint8] | None
    marks: NDArray[np.uint8]
    entries: NDArray[np.int64]
    above: NDArray[np.float32]
    below: NDArray[np.float32]
    span: NDArray[np.float32]
    fingerprints: Fingerprints


def decode_site(folder: Path, entries: Sequence[IndexEntry], data: DataSection) -> DecodedSite:
    """Decode every entry once.

    Images keep their aspect ratio: they are resampled (antialiased) into the study's image size and padded
    around with the lower bound of the window. Masks go the same way with nearest neighbours.

    Raises:
        DataError: the first file that cannot be used, and why.
    """
    counts = [entry.n_images for entry in entries]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(int)
    n = int(offsets[-1])
    with_masks = data.columns.mask is not None and any(entry.mask is not None for entry in entries)
    site = DecodedSite(
        images=np.empty((n, data.stacked_channels, *data.image_size), np.float16),
        masks=np.zeros((n, 1, *data.image_size), np.uint8) if with_masks else None,
        marks=np.zeros(n, np.uint8),
        entries=np.repeat(np.arange(len(entries)), counts),
        above=np.zeros(n, np.float32),
        below=np.zeros(n, np.float32),
        span=np.zeros(n, np.float32),
        fingerprints=Fingerprints.empty(n),
    )

    def decode(number: int) -> None:
        _decode_entry(folder, entries[number], data, site, int(offsets[number]))

    for _ in parallel(decode, range(len(entries))):
        pass
    return site


def _decode_entry(folder: Path, entry: IndexEntry, data: DataSection, site: DecodedSite, offset: int) -> None:
    box = data.image_size
    size = fitted_size(entry.size, entry.pixel_sides, box)
    intensity = data.window(entry.contrast)
    own = slice(data.slices.neighbours * data.channels, (data.slices.neighbours + 1) * data.channels)
    try:
        for i, stored in enumerate(read_images(folder, entry, data), start=offset):
            check_window(stored, intensity)
            site.fingerprints.put(i, stored[..., own])
            scaled = window(stored, intensity)
            site.span[i] = (scaled.max() - scaled.min()) / 2
            site.above[i] = np.mean(stored > intensity.upper) if scaled.max() == 1 else 0
            site.below[i] = np.mean(stored < intensity.lower) if scaled.min() == -1 else 0
            site.images[i] = np.moveaxis(centre(resize(scaled, size), box, -1), -1, 0)
    except UnreadableError as error:
        raise data_error(entry.path, error) from error
    if site.masks is not None and entry.mask is not None:
        try:
            masks, mark = read_masks(folder, entry)
            site.marks[offset : offset + len(masks)] = mark
            for i, mask in enumerate(masks, start=offset):
                site.masks[i, 0] = centre(resize_mask(mask, size), box, 0)
        except UnreadableError as error:
            raise data_error(entry.mask, error) from error
