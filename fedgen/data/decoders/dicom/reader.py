"""The decoder of DICOM: modality values, upright, slices in the order in which they lie in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fedgen.data.decoders.decoder import Decoder, Header, Pixels
from fedgen.data.decoders.dicom.codecs import decoded_frames, require_decodable
from fedgen.data.decoders.dicom.kinds import burned_in
from fedgen.data.decoders.dicom.native import Native, header_of, native_of, placed
from fedgen.data.decoders.dicom.plane import Plane, plane_of
from fedgen.data.decoders.dicom.tags import looks_like_dicom, read_tags
from fedgen.data.decoders.dicom.values import image_values
from fedgen.data.decoders.guard import UnreadableError, guarded
from fedgen.data.index import SliceRange
from fedgen.data.orientation import axis_of, turned


class DicomDecoder(Decoder):
    """Modality values; MONOCHROME1 is inverted so that more is brighter; slices are turned upright (decision 024).

    pydicom itself rather than MONAI's PydicomReader: the latter leaves MONOCHROME1 radiographs inverted, and derives an
    affine that projection images do not have.
    """

    supported_file_endings: ClassVar[tuple[str, ...]] = (".dcm", ".dicom", ".ima")

    def recognises(self, path: Path) -> bool:
        """The letters DICM after 128 bytes, or elements of the first groups without them."""
        return looks_like_dicom(path)

    def header(self, path: Path, axis: int) -> Header:
        """Sizes and geometry of the upright images; `axis` has no meaning for frames that say not where they lie."""
        return image_header(read_tags(path, stop_before_pixels=True), axis)

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Modality values, shape (n, H, W, 1) or (n, H, W, 3)."""
        tags = read_tags(path, stop_before_pixels=False)
        native = native_of(tags)
        if native.stack is None:
            frames = range(native.frames)
            chosen = frames if slices is None else frames[slices.start : slices.stop : slices.step]
            return _images(tags, native, chosen)
        volumes = native.stack.volumes
        if slices is None:
            return _images(tags, native, volumes[0])
        if slices.volume >= len(volumes):
            raise UnreadableError("has fewer volumes than the index says: index the folder again")
        volume = volumes[slices.volume]
        if slices.axis == native.axis:
            return _images(tags, native, volume[slices.start : slices.stop : slices.step])
        return np.ascontiguousarray(placed(_images(tags, native, volume), native.axis, slices))

    def series(self, paths: Sequence[Path], slices: SliceRange) -> Pixels:
        """As `pixels`, of files with one image each, in the order in which they lie."""
        plane = plane_of(read_tags(paths[0], stop_before_pixels=True))
        if not plane.side:
            raise UnreadableError("says not where it lies in the patient: index the folder again")
        axis = axis_of(plane.side)
        if axis == slices.axis:
            return _joined(paths[slices.start : slices.stop : slices.step], plane)
        return np.ascontiguousarray(placed(_joined(paths, plane), axis, slices))


DECODER = DicomDecoder()


@guarded
def image_header(tags: Any, axis: int) -> Header:
    """Sizes and geometry of a dataset's images, volumes cut along `axis`.

    Raises:
        UnreadableError: the object has no image, or one that cannot be decoded.
    """
    require_decodable(tags)
    header = header_of(native_of(tags), axis)
    return replace(header, notes=(*header.notes, *burned_in(tags)))


def _images(tags: Any, native: Native, frames: Sequence[int]) -> Pixels:
    plane = native.plane
    images = [
        turned(image_values(samples, tags, frame), plane.orientation, plane.wanted)
        for frame, samples in zip(frames, decoded_frames(tags, frames), strict=True)
    ]
    return np.ascontiguousarray(np.stack(images))


def _joined(paths: Sequence[Path], plane: Plane) -> Pixels:
    """One image of each file, all turned as `plane` is: directions between two axes may be rounded to either."""
    images = []
    for path in paths:
        tags = read_tags(path, stop_before_pixels=False)
        native = replace(native_of(tags), plane=plane)
        images.append(_images(tags, native, [0]))
        if native.frames != 1 or images[-1].shape != images[0].shape:
            raise UnreadableError("is no longer the volume that the index says: index the folder again")
    return np.concatenate(images)
