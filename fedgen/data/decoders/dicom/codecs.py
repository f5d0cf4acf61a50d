"""Pixel data of every transfer syntax, decoded with pydicom and one chosen library for each.

Which library decodes is fixed, so that an image has the same values at every site, whatever else is installed there:
what libraries make of lossy JPEG differs by a gray level or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from fedgen.data.decoders.dicom import jpeg
from fedgen.data.decoders.dicom.tags import whole_number
from fedgen.data.decoders.guard import UnreadableError, one_line

_WAVELETS = (*JPEG2000TransferSyntaxes, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
#: pydicom's name of the library that decodes a syntax, and the package that has it; uncompressed ones need none.
_LIBRARIES: dict[UID, tuple[str, str]] = {
    # Another one, where it is installed, ends in what is no `Exception`.
    RLELossless: ("pydicom", "pydicom"),
    JPEGBaseline8Bit: ("pillow", "pillow"),
    **dict.fromkeys((JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), (jpeg.PLUGIN, "imagecodecs")),
    **dict.fromkeys(JPEGLSTransferSyntaxes, ("pyjpegls", "pyjpegls")),
    **dict.fromkeys(_WAVELETS, ("pylibjpeg", "pylibjpeg-openjpeg")),
}
jpeg.register()
_EXPORT = "export it as Explicit VR Little Endian"
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def syntax_of(tags: Any) -> UID:
    """The transfer syntax."""
    return UID(tags.file_meta.TransferSyntaxUID)


def require_decodable(tags: Any) -> None:
    """Refuse pixel data that nothing here can decode, before any is read.

    Raises:
        UnreadableError: naming the transfer syntax and what to do.
    """
    syntax = syntax_of(tags)
    named = (
        f"the transfer syntax {syntax.name} ({syntax})"
        if syntax.name != syntax
        else f"the transfer syntax {syntax}"
    )
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnreadableError(f"has {named}, which cannot be decoded: {_EXPORT}") from None
    plugin, package = _LIBRARIES.get(syntax, ("", ""))
    if plugin and plugin not in decoder.available_plugins:
        raise UnreadableError(
            f"has {named}, which needs the Python package {package}: install it, or {_EXPORT}"
        )


def decoded_frames(tags: Any, frames: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The samples of some frames, each (H, W) or (H, W, 3), colour as RGB, without unused bits.

    Raises:
        UnreadableError: no pixels, a syntax that cannot be decoded, or damaged data.
    """
    if not any(keyword in tags for keyword in PIXELS):
        raise UnreadableError("has no pixels")
    require_decodable(tags)
    syntax = syntax_of(tags)
    plugin, _ = _LIBRARIES.get(syntax, ("", ""))
    try:
        yield from _read(tags, frames, plugin)
    except Exception as error:
        compressed = f"; transfer syntax {syntax.name}" if plugin else ""
        advice = f": {_EXPORT}" if plugin else ": export it again"
        raise UnreadableError(
            f"has pixels that cannot be decoded ({_reason(error)}{compressed}){advice}"
        ) from error


def _read(tags: Any, frames: Sequence[int], plugin: str) -> list[NDArray[Any]]:
    allocated, stored = whole_number(tags, "BitsAllocated", 16), whole_number(tags, "BitsStored", 0)
    high = whole_number(tags, "HighBit", stored - 1)
    # pydicom expects samples in the lowest bits; ACR-NEMA allows them to end higher up.
    shifted = 0 < stored <= high < allocated and not syntax_of(tags).is_compressed and "PixelData" in tags
    images = list(iter_pixels(tags, indices=frames, decoding_plugin=plugin, correct_unused_bits=not shifted))
    if not shifted:
        return images
    return [image << (allocated - high - 1) >> (allocated - stored) for image in images]


def _reason(error: BaseException) -> str:
    # pydicom lists what each library said, below a line that says nothing.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = one_line(error)
    if len(lines) > 1 and lines[0].startswith("Unable to decode"):
        reason = lines[1].partition(": ")[2] or lines[1]
    # What pydicom makes of a library that gave nothing back.
    return "damaged data" if "NoneType" in reason else reason
