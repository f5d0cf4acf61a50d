"""Many small DICOM files quickly: an element that is equal in many of them is encoded once.

pydicom encodes every element. In Explicit VR Little Endian an element's bytes depend on nothing but itself, and a file
is its elements in ascending order of their tags (DICOM PS3.5, section 7.1), so they can be put together afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian

#: What an element holds; a tuple is several values, None an empty element.
Value = str | int | tuple[str, ...] | tuple[float, ...] | None


def encode_image(
    sop_class: str, sop_instance: str, elements: Mapping[str, Value], stored: NDArray[np.uint16]
) -> bytes:
    """The bytes of a DICOM file with one image, as pydicom's `save_as` writes them.

    Args:
        sop_class: SOPClassUID.
        sop_instance: SOPInstanceUID.
        elements: the others by keyword, without the pixels.
        stored: (rows, columns).
    """
    encoded = {keyword: _element(keyword, value) for keyword, value in elements.items()}
    encoded["SOPClassUID"] = _element("SOPClassUID", sop_class)
    # Each file has a UID of its own; one of equal length is encoded once, and its place taken.
    stand_in = "1" * len(sop_instance)
    old, new = stand_in.encode(), sop_instance.encode()
    encoded["SOPInstanceUID"] = _element("SOPInstanceUID", stand_in).replace(old, new)
    ordered = sorted(encoded, key=lambda keyword: tag_for_keyword(keyword) or 0)
    return b"".join(
        [
            _preamble(sop_class, stand_in).replace(old, new),
            *(encoded[keyword] for keyword in ordered),
            _pixel_header(stored.nbytes),
            stored.astype("<u2").tobytes(),
        ]
    )


@lru_cache(maxsize=4096)
def _element(keyword: str, value: Value) -> bytes:
    dataset = Dataset()
    setattr(dataset, keyword, list(value) if isinstance(value, tuple) else value)
    buffer = _buffer()
    write_dataset(buffer, dataset)
    return buffer.getvalue()


@lru_cache(maxsize=16)
def _preamble(sop_class: str, sop_instance: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, sop_instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = _buffer()
    write_file_meta_info(buffer, meta)
    return bytes(128) + b"DICM" + buffer.getvalue()


@lru_cache(maxsize=16)
def _pixel_header(length: int) -> bytes:
    # Pixels of more than 8 bits are words (PS3.5, section 8.1.1); their tag is higher than every other one here.
    dataset = Dataset()
    dataset.add_new("PixelData", "OW", bytes(length))
    buffer = _buffer()
    write_dataset(buffer, dataset)
    return buffer.getvalue()[:-length]


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer
