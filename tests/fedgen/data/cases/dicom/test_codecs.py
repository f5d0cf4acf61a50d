"""Compressed DICOM: every syntax by one library, checked against another encoder or the same picture uncompressed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, UID, JPEGExtended12Bit, JPEGLosslessSV1, SecondaryCaptureImageStorage

from fedgen.data.build import build_index
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER, codecs
from fedgen.errors import DataError
from fedgen.study.data import DataSection

WriteDicom = Callable[..., Dataset]
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
    pytest.importorskip("gdcm")
    np.testing.assert_array_equal(bundled("SC_rgb_jpeg_gdcm.dcm"), bundled("SC_rgb_rle.dcm"))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("process", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1"])
def test_jpeg_lossless_of_every_depth(
    write_dicom: WriteDicom, tmp_path: Path, kind: type, process: str
) -> None:
    gdcm = pytest.importorskip("gdcm")
    ends = np.iinfo(kind)
    pixels = np.random.default_rng(1).integers(ends.min, ends.max, (12, 17)).astype(kind)
    # GDCM writes directions into a CT that has none.
    write_dicom(tmp_path / "a.dcm", pixels, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "a.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "b.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(tmp_path / "b.dcm").file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(DECODER.pixels(tmp_path / "b.dcm", None)[0, ..., 0], pixels)


def compressed(write_dicom: WriteDicom, path: Path, syntax: UID, stream: bytes) -> None:
    dataset = write_dicom(path, PICTURE)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
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
    monkeypatch.setitem(codecs._LIBRARIES, JPEGLosslessSV1, (("none", "python-gdcm"),))
    with pytest.raises(
        DataError,
        match=r"JPEG Lossless.*needs the Python package python-gdcm: install it, or export it as Explicit",
    ):
        build_index(tmp_path, data())


def test_damaged_data_are_named_with_their_syntax(write_dicom: WriteDicom, tmp_path: Path) -> None:
    pytest.importorskip("gdcm")
    compressed(
        write_dicom,
        tmp_path / "a.dcm",
        JPEGLosslessSV1,
        b"\xff\xd8\xff\xc3\0\x0b\x08\0\x06\0\x08\x01\x01\x11\0\xff\xd9",
    )
    with pytest.raises(UnreadableError, match=r"cannot be decoded \(.*transfer syntax JPEG Lossless"):
        DECODER.pixels(tmp_path / "a.dcm", None)


def test_what_needs_a_library_that_fedgen_does_not_bring_says_so(
    write_dicom: WriteDicom, tmp_path: Path
) -> None:
    compressed(write_dicom, tmp_path / "a.dcm", JPEGExtended12Bit, b"\xff\xd8\xff\xd9")
    if "pylibjpeg" in codecs.get_decoder(JPEGExtended12Bit).available_plugins:
        pytest.skip("it is installed here")
    with pytest.raises(UnreadableError, match=r"JPEG Extended.*install pylibjpeg-libjpeg, or export it as"):
        DECODER.pixels(tmp_path / "a.dcm", None)
