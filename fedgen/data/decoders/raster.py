"""PNG, JPEG, TIFF, WebP and BMP, read with Pillow; what Pillow leaves as stored is put right in `raster_values`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.decoders.guard import one_line, require_plausible
from fedgen.data.decoders.raster_tiff import tiff_size, tiff_values
from fedgen.data.decoders.raster_values import palette, stored_values
from fedgen.data.decoders.stored_mask import StoredMask, one_channel
from fedgen.data.findings import Note
from fedgen.data.index import SliceRange

_ORIENTATION = 0x0112
#: Values of the tag that exchange rows and columns.
_SIDEWAYS = (5, 6, 7, 8)
_TURNED = Note("turned", "it is turned upright as its EXIF orientation says, and so is its mask by its own.")
_PNG_SIGNATURE = 8


class RasterDecoder(Decoder):
    """2D files without geometry, upright as EXIF says; palettes become RGB, transparency is refused."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (
        ".png",
        ".jpg",
        ".jpeg",
        ".tif",
        ".tiff",
        ".webp",
        ".bmp",
    )

    # Files are opened here and not by Pillow, which maps those that it opens itself into memory with the sides of the
    # upright image, and so scrambles an uncompressed TIFF that lies on its side.

    def header(self, path: Path, axis: int) -> Header:
        """Height and width of the upright image; `axis` has no meaning here."""
        try:
            with path.open("rb") as file, Image.open(file) as image:
                if _cut(image):
                    return Header(tiff_size(path))
                width, height = image.size
                # Pillow states the size of a TIFF as it stands upright, and that of the others as stored.
                turn = orientation(image, path)
                if image.format != "TIFF" and turn in _SIDEWAYS:
                    width, height = height, width
        except UnidentifiedImageError as error:
            if _is_tiff(path):
                return Header(tiff_size(path))
            raise UnreadableError(_reason(error)) from error
        except _ERRORS as error:
            raise UnreadableError(_reason(error)) from error
        return Header((height, width), notes=(_TURNED,) if turn > 1 else ())

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Stored values, (1, H, W, 1) for gray and (1, H, W, 3) for RGB."""
        try:
            with path.open("rb") as file, Image.open(file) as image:
                require_plausible(path, image.height, image.width)
                if _cut(image):
                    return tiff_values(path)[np.newaxis]
                return stored_values(upright(image))[np.newaxis]
        except UnidentifiedImageError as error:
            if _is_tiff(path):
                return tiff_values(path)[np.newaxis]
            raise UnreadableError(_reason(error)) from error
        except _ERRORS as error:
            raise UnreadableError(_reason(error)) from error

    def mask(self, path: Path, axis: int) -> StoredMask:
        """A picture of one slice; of a palette in colours, the places of the colours in it."""
        with path.open("rb") as file, Image.open(file) as image:
            require_plausible(path, image.height, image.width)
            exact = _exact(image, path)
            if image.mode not in ("P", "PA"):
                step = _level(image)
                values = one_channel(self.pixels(path, None), exact)
                if step > 1 and not np.isin(values, (0, 255)).all():
                    # So few bits hold numbers of classes, no shades.
                    return StoredMask(values / np.float32(step))
                return StoredMask(values, drawn=True, exact=exact)
            indices = np.asarray(upright(image).getchannel(0))[np.newaxis]
            colours = palette(image)
        used = colours[np.unique(indices)]
        if (used == used[:, :1]).all():
            return StoredMask(colours[indices, 0], drawn=True, exact=exact)
        if colours[0].any():
            raise UnreadableError(
                "is a mask with a palette whose first colour is not black, so that nothing says which one is outside: "
                "save the numbers of the classes in gray"
            )
        return StoredMask(indices.astype(np.float32), drawn=True, exact=exact, indexed=True)


DECODER = RasterDecoder()

#: By how much Pillow multiplies gray values of fewer than 8 bits, so that the highest one is white.
_LEVELS = {"L;2": 85, "L;4": 17}
_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def orientation(image: ImageFile, path: Path) -> int:
    """The EXIF orientation, 1 to 8, of an opened image; 1 where the file states none, or none of the eight."""
    # The method of PNG images itself would decode the whole image to see chunks behind the pixels.
    found: int | None = Image.Image.getexif(image).get(_ORIENTATION)
    if found is None and image.format == "PNG":
        found = _late_exif(path).get(_ORIENTATION)
    return found if found is not None and found in range(2, 9) else 1


def _level(image: ImageFile) -> int:
    """What Pillow makes of the gray value 1 of a file, before it is loaded."""
    modes = (
        each for tile in image.tile for each in (tile.args if isinstance(tile.args, tuple) else (tile.args,))
    )
    return next((_LEVELS[mode] for mode in modes if mode in _LEVELS), 1)


def upright(image: ImageFile) -> Image.Image:
    """The loaded image as it is looked at: Pillow turns TIFF while loading, and leaves the others to its caller.

    Raises:
        UnreadableError: several pages.
    """
    pages = int(getattr(image, "n_frames", 1))
    # The further pictures of a camera's MPO are the first one again, smaller or from another side.
    if pages > 1 and image.format != "MPO":
        raise UnreadableError(
            f"holds {pages} pages, but one image a file is expected: save each as its own file"
        )
    image.load()
    if image.format == "TIFF" or image.getexif().get(_ORIENTATION, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _late_exif(path: Path) -> Image.Exif:
    """The eXIf chunk of a PNG wherever it lies (PNG specification, third edition, 11.3.2.6)."""
    exif = Image.Exif()
    with path.open("rb") as file:
        file.seek(_PNG_SIGNATURE)
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind == b"eXIf":
                exif.load(file.read(length))
                break
            file.seek(length + 4, 1)
    return exif


def _exact(image: ImageFile, path: Path) -> bool:
    """Whether the format keeps every value."""
    if image.format == "WEBP":
        with path.open("rb") as file:
            return b"VP8L" in file.read(4096)
    return image.format not in ("JPEG", "MPO") and image.info.get("compression") != "jpeg"


def _cut(image: ImageFile) -> bool:
    """Whether it is a TIFF whose colour Pillow would cut to 8 bits.

    Raises:
        UnreadableError: it is another file whose colour it would cut.
    """
    # The raw mode of the tile tells what the mode of the image does not.
    raw = [tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0] for tile in image.tile]
    if image.mode not in ("RGB", "RGBA", "LA") or not any(";16" in str(mode) for mode in raw):
        return False
    if image.format == "TIFF":
        return True
    raise UnreadableError("has 16 bits a colour channel, which would be cut to 8: save it with 8 bits")


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _reason(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return "is not an image or is cut short"
    # Pillow's texts repeat the full path of the file, which the caller names already.
    text = one_line(error)
    return f"cannot be decoded ({'not an image of a known format' if 'cannot identify' in text else text})"
