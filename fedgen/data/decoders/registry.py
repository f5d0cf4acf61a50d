"""The list of decoders, by file ending."""

from __future__ import annotations

from pathlib import PurePath

from fedgen.data.decoders.decoder import Decoder, UnreadableError
from fedgen.data.decoders.dicom import DicomDecoder
from fedgen.data.decoders.nifti import NiftiDecoder
from fedgen.data.decoders.raster import RasterDecoder

_DECODERS: tuple[Decoder, ...] = (RasterDecoder(), DicomDecoder(), NiftiDecoder())

#: Every file ending that can be decoded.
SUPPORTED_FILE_ENDINGS = tuple(ending for decoder in _DECODERS for ending in decoder.supported_file_endings)


def decoder_for(path: PurePath) -> Decoder:
    """The decoder of a file; a file without an ending is taken for DICOM, as PACS exports often are.

    Raises:
        UnreadableError: no decoder knows the ending.
    """
    name = path.name.lower()
    for decoder in _DECODERS:
        if name.endswith(decoder.supported_file_endings):
            return decoder
    # PACS exports name files by UID, whose last component looks like an ending: digits, never letters.
    if path.suffix.lstrip(".").isdigit() or not path.suffix:
        return _DECODERS[1]
    known = ", ".join(SUPPORTED_FILE_ENDINGS)
    raise UnreadableError(f"has an ending no reader knows (known: {known})")
