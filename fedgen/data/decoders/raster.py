"""PNG, JPEG, TIFF and BMP, read with Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.decoders.guard import one_line, require_plausible
from fedgen.data.index import SliceRange

#: Pillow modes whose array is the stored gray value.
_GRAY = ("L", "I;16", "I;16L", "I;16B", "I", "F")


class RasterDecoder(Decoder):
    """2D files without geometry; palettes become RGB, EXIF rotation is applied, transparency is refused."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

    def header(self, path: Path, axis: int) -> Header:
        """Height and width; `axis` has no meaning here."""
        try:
            with Image.open(path) as image:
                width, height = image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableError(_reason(error)) from error
        return Header((height, width))

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Stored values, (1, H, W, 1) for gray and (1, H, W, 3) for RGB."""
        try:
            with Image.open(path) as image:
                require_plausible(path, image.height, image.width)
                pages = int(getattr(image, "n_frames", 1))
                if pages > 1:
                    raise UnreadableError(f"holds {pages} pages, but one image a file is expected")
                _full_depth(image)
                image.load()
                upright = ImageOps.exif_transpose(image) if image.format == "JPEG" else image
                return _values(upright)[np.newaxis]
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableError(_reason(error)) from error


DECODER = RasterDecoder()


def _full_depth(image: ImageFile) -> None:
    # Pillow halves 16-bit colour to 8 bits without a word; the raw mode of the tile still tells.
    if image.mode in ("RGB", "RGBA", "LA") and any("16" in str(tile[3]) for tile in image.tile):
        raise UnreadableError("has 16 bits a colour channel, which would be cut to 8: save it with 8 bits")


def _values(image: Image.Image) -> Pixels:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() < 255:
            raise UnreadableError(
                "has transparent pixels, whose value is undefined: save it without an alpha channel"
            )
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "LA":
        image = image.getchannel("L")
    elif image.mode in ("RGBA", "P", "PA"):
        image = image.convert("RGB")
    if image.mode in _GRAY:
        return np.asarray(image, dtype=np.float32)[..., np.newaxis]
    if image.mode == "RGB":
        return np.asarray(image, dtype=np.float32)
    raise UnreadableError(f"has the colour mode {image.mode}: save it as gray or RGB")


def _reason(error: Exception) -> str:
    return (
        "is not an image or is cut short"
        if isinstance(error, SyntaxError)
        else f"cannot be decoded ({_words(error)})"
    )


def _words(error: Exception) -> str:
    # Pillow's texts repeat the full path of the file, which the caller names already.
    text = one_line(error)
    return "not an image of a known format" if "cannot identify image file" in text else text
