"""Rasters: upright as EXIF says in every format, and every depth and sign of TIFF with its true values."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.raster import DECODER

#: What each EXIF orientation means, by hand (EXIF 2.32, 4.6.4 A): from the stored array to the one to look at.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


def picture(height: int = 6, width: int = 10) -> np.ndarray:
    return np.arange(height * width, dtype=np.uint8).reshape(height, width) * 4


def read(path: Path) -> np.ndarray:
    """What the decoder gives, checked against the header that the index is made of."""
    pixels = DECODER.pixels(path, None)
    assert DECODER.header(path, 2).size == pixels.shape[1:3]
    return pixels[0]


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_every_format(tmp_path: Path, ending: str, orientation: int) -> None:
    # Blocks of 8 pixels are flat, so that JPEG keeps their order and nearly their values.
    stored = np.kron(np.array([[10, 60, 110], [160, 210, 250]], np.uint8), np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    options = {"png": {}, "tif": {}, "webp": {"lossless": True}, "jpg": {"quality": 100}}[ending]
    Image.fromarray(stored).save(path, exif=exif, **options)
    got = read(path)
    # WebP keeps gray as three equal channels.
    assert got.shape[-1] == (3 if ending == "webp" else 1)
    np.testing.assert_allclose(got[..., 0], UPRIGHT[orientation](stored), atol=2)


def test_the_orientation_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "png")
    content, exif = buffer.getvalue(), Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])
    np.testing.assert_array_equal(read(tmp_path / "a.png")[..., 0], np.rot90(picture(), -1))


def test_an_orientation_that_is_none_of_the_eight_changes_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png")[..., 0], picture())


def tiff(
    path: Path,
    stored: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    bits: int = 0,
    form: int = 1,
    colours: list[int] | None = None,
    orientation: int = 1,
) -> Path:
    """An uncompressed TIFF of one strip, written byte by byte (TIFF 6.0, section 2)."""
    height, width = stored.shape[:2]
    bits = bits or stored.dtype.itemsize * 8
    data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    samples = 3 if stored.ndim == 3 else 1
    tags = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits] * samples),
        (259, 3, [1]),
        (262, 3, [photometric]),
    ]
    tags += [
        (273, 4, [8]),
        (274, 3, [orientation]),
        (277, 3, [samples]),
        (278, 4, [height]),
        (279, 4, [len(data)]),
    ]
    tags += [(320, 3, colours)] if colours is not None else []
    tags += [(339, 3, [form] * samples)]
    extra, entries = b"", b""
    start = 8 + len(data) + 2 + 12 * len(tags) + 4
    for tag, kind, values in tags:
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            entries += struct.pack(f"{order}HHII", tag, kind, len(values), start + len(extra))
            extra += packed
        else:
            entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    path.write_bytes(head + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + extra)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "form"), [("u1", 1), ("u2", 1), ("u4", 1), ("i1", 2), ("i2", 2), ("i4", 2), ("f4", 3), ("f8", 3)]
)
def test_every_depth_and_sign_of_tiff_keeps_its_values(
    tmp_path: Path, order: str, kind: str, form: int
) -> None:
    ends = (-1.5, 3e9) if kind[0] == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    stored = np.linspace(*ends, 24).reshape(4, 6).astype(kind)
    got = read(tiff(tmp_path / "a.tif", stored, 1, order=order, form=form))
    np.testing.assert_allclose(got[..., 0], stored.astype(np.float64), rtol=1e-6)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
def test_white_is_zero_is_turned_about(tmp_path: Path, order: str, kind: str) -> None:
    top = np.iinfo(kind).max
    stored = np.linspace(0, top, 24).reshape(4, 6).astype(kind)
    got = read(tiff(tmp_path / "a.tif", stored, 0, order=order))
    np.testing.assert_allclose(got[..., 0], top - stored.astype(np.int64), rtol=1e-6)


def test_white_is_zero_of_few_bits(tmp_path: Path) -> None:
    packed = np.array([[0b10100000], [0b01000000]], np.uint8)
    path = tiff(tmp_path / "a.tif", packed, 0, bits=1)
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<HHI", 256, 4, 1)) + 8] = 3
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path)[..., 0], [[0, 255, 0], [255, 0, 255]])


def test_what_has_no_stated_black_is_refused(tmp_path: Path) -> None:
    for kind, form in (("f4", 3), ("i2", 2)):
        path = tiff(tmp_path / "a.tif", np.ones((4, 6), kind), 0, form=form)
        with pytest.raises(UnreadableError, match="save it"):
            DECODER.pixels(path, None)


@pytest.mark.parametrize("unit", [1, 256], ids=["8 bits in 16", "16 bits"])
def test_palettes_of_sixteen_bits(tmp_path: Path, unit: int) -> None:
    red = np.arange(256)
    colours = [*(red * unit), *(red[::-1] * unit), *(np.full(256, 7) * unit)]
    got = read(tiff(tmp_path / "a.tif", picture(), 3, colours=[int(value) for value in colours]))
    indices = picture().astype(np.int64)
    np.testing.assert_array_equal(got, np.stack([indices, 255 - indices, np.full_like(indices, 7)], axis=-1))


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colour_keeps_its_depth_or_is_refused(tmp_path: Path, kind: str) -> None:
    colour = (
        np.stack([picture(), picture()[::-1], picture()[:, ::-1]], axis=-1).astype(kind)
        * np.dtype(kind).itemsize
    )
    np.testing.assert_array_equal(read(tiff(tmp_path / "a.tif", colour, 2)), colour)


def test_depth_that_would_be_cut_is_refused(tmp_path: Path) -> None:
    # Pillow writes no colour of 16 bits, so the chunks are ours (PNG specification, 11.2).
    head = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + bytes(range(12)))
    parts = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(UnreadableError, match="has 16 bits a colour channel"):
        DECODER.pixels(tmp_path / "a.png", None)


def test_digits_in_an_offset_say_nothing_of_the_depth(tmp_path: Path) -> None:
    for size in range(14, 40):
        Image.fromarray(np.zeros((size, size, 3), np.uint8)).save(tmp_path / "c.tif", compression="tiff_lzw")
        assert not read(tmp_path / "c.tif").any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_that_pillow_does_not_open_stands_upright_too(tmp_path: Path, orientation: int) -> None:
    stored = np.arange(24.0).reshape(4, 6)
    got = read(tiff(tmp_path / "a.tif", stored, 1, form=3, orientation=orientation))
    np.testing.assert_array_equal(got[..., 0], UPRIGHT[orientation](stored))


def test_transparent_pixels_are_refused_whatever_says_so(tmp_path: Path) -> None:
    deep = np.full((4, 6), 40000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png", transparency=40000)
    with pytest.raises(UnreadableError, match="has transparent pixels"):
        DECODER.pixels(tmp_path / "a.png", None)
    Image.fromarray(deep).save(tmp_path / "b.png", transparency=40001)
    np.testing.assert_array_equal(read(tmp_path / "b.png")[..., 0], deep)
    indexed = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    indexed.save(tmp_path / "c.png", transparency=bytes([255, 255, 9]))
    with pytest.raises(UnreadableError, match="has transparent pixels"):
        DECODER.pixels(tmp_path / "c.png", None)
    indexed.save(tmp_path / "d.png", transparency=bytes([255, 255, 255, 0]))
    np.testing.assert_array_equal(read(tmp_path / "d.png")[0], [[0, 0, 0], [255, 0, 0]])


def test_the_first_picture_of_a_camera_is_the_image(tmp_path: Path) -> None:
    first, second = Image.fromarray(picture(16, 16)), Image.fromarray(picture(8, 8))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=100)
    np.testing.assert_allclose(read(tmp_path / "a.jpg")[..., 0], picture(16, 16), atol=4)
    # Without the first one's options, which are those of another format.
    Image.fromarray(picture()).save(
        tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(picture())]
    )
    with pytest.raises(UnreadableError, match="holds 2 pages"):
        DECODER.pixels(tmp_path / "a.tif", None)


def test_ink_is_no_light(tmp_path: Path) -> None:
    Image.new("CMYK", (6, 4), (10, 20, 30, 40)).save(tmp_path / "a.jpg")
    with pytest.raises(UnreadableError, match="has the colour mode CMYK: save it as gray or RGB"):
        DECODER.pixels(tmp_path / "a.jpg", None)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    values = picture().astype(np.complex64) * (1 + 1j)
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.raises(UnreadableError, match="holds complex numbers: save their magnitude"):
        read(tmp_path / "a.tif")
