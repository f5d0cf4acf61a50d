"""Compressed DICOM: every syntax by one library, checked against another encoder or the same picture uncompressed."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from fedgen.data.build import build_index
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER, codecs
from fedgen.errors import DataError
from fedgen.study.data import DataSection

WriteDicom = Callable[..., Dataset]
imagecodecs = pytest.importorskip("imagecodecs", reason="a dependency of fedgen that is not installed")
PICTURE = np.arange(48, dtype=np.uint16).reshape(6, 8)


def bundled(name: str) -> np.ndarray:
    """The values of an image that pydicom carries."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DECODER.pixels(Path(path), None)


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_expb.dcm"],
)
def test_lossless_syntaxes_give_the_uncompressed_picture(name: str) -> None:
    np.testing.assert_array_equal(bundled(name), bundled("MR_small.dcm"))


def test_jpeg_lossless_of_another_encoder() -> None:
    np.testing.assert_array_equal(bundled("SC_rgb_jpeg_gdcm.dcm"), bundled("SC_rgb_rle.dcm"))


def test_jpeg_of_12_bits() -> None:
    # The same picture twice; in one of them the scan ends where the standard does not say that it may.
    values = bundled("JPGExtended.dcm")
    assert (values.shape, values.max()) == ((1, 1024, 256, 1), 264)
    np.testing.assert_array_equal(bundled("JPEG-lossy.dcm"), values)


@pytest.mark.parametrize(
    ("kind", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16), (np.int16, 12), (np.int16, 16)]
)
def test_jpeg_lossless_of_every_depth(write_dicom: WriteDicom, tmp_path: Path, kind: type, bits: int) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if np.dtype(kind).kind == "i" else (0, 2**bits)
    pixels = np.random.default_rng(1).integers(low, high, (12, 17)).astype(kind)
    coded = (pixels.astype(np.int64) % 2**bits).astype(f"u{pixels.itemsize}")
    # liblj92, which has no line in common with the library that decodes.
    stream = imagecodecs.ljpeg_encode(coded, bitspersample=bits)
    compressed(write_dicom, tmp_path / "a.dcm", JPEGLosslessSV1, stream, pixels, BitsStored=bits)
    np.testing.assert_array_equal(DECODER.pixels(tmp_path / "a.dcm", None)[0, ..., 0], pixels)


#: A sequence delimiter, an item and the delimiter of an item, as they end and begin what a data set holds.
DELIMITERS = bytes.fromhex("feffdde000000000 feff00e004000000 01020304 feff0de000000000")


def noted(stream: bytes, at: int, marker: int) -> bytes:
    """A stream with a comment that holds `DELIMITERS`."""
    comment = bytes([0xFF, marker]) + (len(DELIMITERS) + 2).to_bytes(2, "big") + DELIMITERS
    return stream[:at] + comment + stream[at:]


@pytest.mark.parametrize("table", [True, False], ids=["offsets", "no offsets"])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1])
def test_a_fragment_that_holds_delimiters_is_read_to_its_end(
    write_dicom: WriteDicom, tmp_path: Path, syntax: UID, table: bool
) -> None:
    pixels = np.random.default_rng(2).integers(0, 4096, (64, 64)).astype(np.uint16)
    if syntax == JPEG2000Lossless:
        stream = imagecodecs.jpeg2k_encode(pixels, codecformat="J2K", reversible=True)
        # A comment may follow the sizes, which the stream begins with.
        stream = noted(stream, 4 + int.from_bytes(stream[4:6], "big"), 0x64)
    elif syntax == JPEGLSLossless:
        stream = noted(imagecodecs.jpegls_encode(pixels), 2, 0xFE)
    else:
        stream = noted(imagecodecs.ljpeg_encode(pixels, bitspersample=16), 2, 0xFE)
    compressed(write_dicom, tmp_path / "a.dcm", syntax, stream, pixels, table=table)
    np.testing.assert_array_equal(DECODER.pixels(tmp_path / "a.dcm", None)[0, ..., 0], pixels)


def test_runs_that_hold_delimiters_are_read_to_their_end(write_dicom: WriteDicom, tmp_path: Path) -> None:
    pixels = np.tile(np.frombuffer(DELIMITERS, np.uint8), (6, 2))
    dataset = write_dicom(tmp_path / "a.dcm", pixels)
    dataset.compress(RLELossless)
    assert DELIMITERS[:4] in dataset.PixelData
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(DECODER.pixels(tmp_path / "a.dcm", None)[0, ..., 0], pixels)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_stream_that_a_delimiter_was_written_over_is_refused() -> None:
    # pydicom's: four bytes of the sizes in JPEG2000.dcm are a delimiter's, so that no size can be known.
    with pytest.raises(UnreadableError, match=r"cannot be decoded \(.*header; transfer syntax JPEG 2000"):
        bundled("JPEG2000-embedded-sequence-delimiter.dcm")


def compressed(
    write_dicom: WriteDicom,
    path: Path,
    syntax: UID,
    stream: bytes,
    pixels: np.ndarray = PICTURE,
    *,
    table: bool = True,
    **tags: int,
) -> None:
    dataset = write_dicom(path, pixels, **tags)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream], has_bot=table)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def data() -> DataSection:
    return DataSection(labels=("image",), image_size=(16, 16))


def test_a_syntax_that_nothing_decodes_is_named_when_the_folder_is_indexed(
    write_dicom: WriteDicom, tmp_path: Path
) -> None:
    compressed(write_dicom, tmp_path / "a.dcm", MPEG2MPML, b"\0" * 20)
    with pytest.raises(
        DataError, match=r"a\.dcm has the transfer syntax MPEG2.*\(1\.2\.840\.10008\.1\.2\.4\.100\)"
    ):
        build_index(tmp_path, data())


def test_a_library_that_is_missing_is_named(
    write_dicom: WriteDicom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed(write_dicom, tmp_path / "a.dcm", JPEGLosslessSV1, b"\0" * 20)
    monkeypatch.setitem(codecs._LIBRARIES, JPEGLosslessSV1, ("none", "imagecodecs"))
    with pytest.raises(
        DataError,
        match=r"JPEG Lossless.*needs the Python package imagecodecs: install it, or export it as Explicit",
    ):
        build_index(tmp_path, data())


def test_damaged_data_are_named_with_their_syntax(write_dicom: WriteDicom, tmp_path: Path) -> None:
    compressed(
        write_dicom,
        tmp_path / "a.dcm",
        JPEGLosslessSV1,
        b"\xff\xd8\xff\xc3\0\x0b\x08\0\x06\0\x08\x01\x01\x11\0\xff\xd9",
    )
    with pytest.raises(UnreadableError, match=r"cannot be decoded \(.*transfer syntax JPEG Lossless"):
        DECODER.pixels(tmp_path / "a.dcm", None)


def test_a_stream_of_another_size_is_named(write_dicom: WriteDicom, tmp_path: Path) -> None:
    stream = imagecodecs.ljpeg_encode(PICTURE[:4], bitspersample=16)
    compressed(write_dicom, tmp_path / "a.dcm", JPEGLosslessSV1, stream)
    with pytest.raises(UnreadableError, match="the stream is 4 x 8 pixels"):
        DECODER.pixels(tmp_path / "a.dcm", None)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(
    "name", ["SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"]
)
def test_damaged_streams_end_in_a_reason(tmp_path: Path, name: str) -> None:
    whole = Path(str(get_testdata_file(name, download=False))).read_bytes()
    start, random = whole.rindex(b"\xfe\xff\x00\xe0"), np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in random.integers(start + 8, len(whole), 6):
            damaged[place] = random.integers(256)
        (tmp_path / "a.dcm").write_bytes(damaged)
        with contextlib.suppress(UnreadableError):
            DECODER.pixels(tmp_path / "a.dcm", None)
