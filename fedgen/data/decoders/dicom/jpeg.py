"""JPEG Lossless and JPEG of 12 bits, decoded by libjpeg-turbo in imagecodecs; a plugin of pydicom.

Of the libraries that pydicom knows, GDCM ends the whole process on some damaged streams, and libjpeg's licence is the
GPL.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from pydicom.pixels.decoders import JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

#: Name of the plugin.
PLUGIN = "imagecodecs"
#: As pydicom asks of a plugin: what each transfer syntax needs.
DECODER_DEPENDENCIES = {
    JPEGExtended12Bit: ("imagecodecs",),
    JPEGLossless: ("imagecodecs",),
    JPEGLosslessSV1: ("imagecodecs",),
}


def is_available(uid: str) -> bool:
    """Whether this decodes a transfer syntax, as pydicom asks of a plugin."""
    return uid in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def decode(stream: bytes, runner: Any) -> bytes:
    """The samples of one frame, in the order that the dataset describes.

    Args:
        stream: one JPEG image.
        runner: pydicom's `DecodeRunner`, which describes the samples and is told how wide they are.

    Raises:
        RuntimeError: the stream is damaged.
        ValueError: it is not of the size that the dataset says.
    """
    # Large, and needed for few images.
    import imagecodecs

    # The samples as they are stored: what colours they are the dataset says, and pydicom converts them.
    colours = "RGB" if runner.samples_per_pixel == 3 else None
    samples = imagecodecs.jpeg8_decode(stream, colorspace=colours, outcolorspace=colours)
    if samples.shape[:2] != (runner.rows, runner.columns):
        raise ValueError(f"the stream is {samples.shape[0]} x {samples.shape[1]} pixels")
    runner.set_option("bits_allocated", 8 * samples.itemsize)
    runner.set_option("planar_configuration", 0)
    return samples.tobytes()


def register() -> None:
    """Let pydicom know this plugin."""
    for decoder in (JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder):
        decoder.add_plugin(PLUGIN, (__name__, decode.__name__))
