"""The stored values of a raster image, where Pillow's own array is not what the file means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedgen.data.decoders.decoder import Pixels, UnreadableError
from fedgen.data.decoders.raster_tiff import black_is_zero

#: Pillow modes whose array is the stored gray value.
_GRAY = ("L", "I;16", "I;16L", "I;16B", "I", "F")
#: Tags of TIFF 6.0 (Adobe, 1992).
_BITS, _PHOTOMETRIC, _COLOUR_MAP, _SAMPLE_FORMAT = 258, 262, 320, 339
_WHITE_IS_ZERO, _UNSIGNED, _SIGNED = 0, 1, 2


def stored_values(image: Image.Image) -> Pixels:
    """Gray (H, W, 1) or RGB (H, W, 3); more is brighter.

    Raises:
        UnreadableError: transparent pixels, or a mode without one meaning.
    """
    refuse_transparency(image)
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "LA":
        image = image.getchannel("L")
    elif image.mode in ("P", "PA"):
        return palette(image)[np.asarray(image if image.mode == "P" else image.getchannel("P"))]
    elif image.mode == "RGBA":
        image = image.convert("RGB")
    if image.mode in _GRAY:
        return gray_values(image)[..., np.newaxis]
    if image.mode == "RGB":
        return np.asarray(image, dtype=np.float32)
    raise UnreadableError(f"has the colour mode {image.mode}: save it as gray or RGB")


def refuse_transparency(image: Image.Image) -> None:
    """Refuse pixels that show what lies behind them.

    Raises:
        UnreadableError: there are some.
    """
    if image.mode in ("RGBA", "LA", "PA"):
        alpha = (
            np.asarray(image.convert("RGBA"))[..., 3] if image.mode == "PA" else np.asarray(image)[..., -1]
        )
        seen_through = bool(alpha.min() < 255)
    elif "transparency" in image.info:
        seen_through = _keyed(image, image.info["transparency"])
    else:
        return
    if seen_through:
        raise UnreadableError(
            "has transparent pixels, whose value is undefined: save it without an alpha channel"
        )


def palette(image: Image.Image) -> Pixels:
    """(256, 3) colours of an image of indices, in [0, 255]."""
    colours = np.zeros((256, 3), np.float32)
    stated = np.reshape(image.getpalette("RGB") or [], (-1, 3))
    colours[: len(stated)] = stated
    # A TIFF's palette has 16 bits, of which Pillow keeps the upper ones; some writers fill the lower ones alone.
    wide = _tag(image, _COLOUR_MAP)
    if wide is not None and len(wide) and max(wide) < 256:
        lower = np.reshape(wide, (3, -1)).T[:256]
        colours[: len(lower)] = lower
    return colours


def gray_values(image: Image.Image) -> Pixels:
    """(H, W) float32 of an image of one of the gray modes."""
    values: NDArray[np.generic] = np.asarray(image)
    bits, sample = _tag(image, _BITS), _tag(image, _SAMPLE_FORMAT)
    if bits is not None:
        form = int((sample or (_UNSIGNED,))[0])
        # Pillow's modes have no signed byte and no unsigned word of 32 bits: it keeps the bits and loses the sign.
        if form == _SIGNED and image.mode == "L":
            values = values.view(np.int8)
        elif form == _UNSIGNED and image.mode == "I" and int(bits[0]) == 32:
            values = values.view(np.uint32)
        # Up to 8 bits Pillow turns white about itself.
        if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO and image.mode != "L":
            values = black_is_zero(values, 16)
    return np.asarray(values, dtype=np.float32)


def _keyed(image: Image.Image, key: object) -> bool:
    """Whether a pixel has the value, colour or index that a PNG calls transparent."""
    if isinstance(key, bytes):
        used = np.unique(np.asarray(image))
        return any(key[index] < 255 for index in used if index < len(key))
    values = np.asarray(image)
    same = values == np.asarray(key)
    return bool(same.all(axis=-1).any() if values.ndim == 3 else same.any())


def _tag(image: Image.Image, number: int) -> Any:
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else tags.get(number)
