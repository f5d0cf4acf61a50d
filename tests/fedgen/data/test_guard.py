"""Nothing but a reason comes out of a decoder: no error of a library, no wait, no memory for what a header claims."""

from __future__ import annotations

import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fedgen.data.build import build_index
from fedgen.data.decoders import guard as guard_module
from fedgen.data.decoders.arrays import array_shapes
from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.decoders.guard import (
    MOST_VALUES,
    BoundedFile,
    one_line,
    require_inflatable,
    require_plausible,
)
from fedgen.data.decoders.registry import by_ending, decoder_for
from fedgen.data.index import SliceRange, read_index, write_index
from fedgen.errors import DataError
from fedgen.study.data import DataSection

RAISED = (
    ValueError("a\nb"),
    struct.error("unpack requires a buffer of 4 bytes"),
    zlib.error("Error -5 while decompressing data"),
    NotImplementedError("Unknown Value Representation"),
    OverflowError(34, "Numerical result out of range"),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    KeyError("x"),
    AssertionError(),
    StopIteration(),
    OSError(5, "Input/output error", "/secret/place"),
)


class Faulty(Decoder):
    """Raises what it is given."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (".faulty",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def recognises(self, path: Path) -> bool:
        raise self._error

    def header(self, path: Path, axis: int) -> Header:
        raise self._error

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        raise self._error


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_library_raises_is_one_reason(error: Exception, tmp_path: Path) -> None:
    path = tmp_path / "a.faulty"
    path.touch()
    decoder = Faulty(error)
    for call in (
        lambda: decoder.recognises(path),
        lambda: decoder.header(path, 0),
        lambda: decoder.pixels(path, None),
    ):
        with pytest.raises(UnreadableError) as caught:
            call()
        text = str(caught.value)
        assert text.startswith("cannot be read (")
        assert "\n" not in text
        assert "secret" not in text
        assert len(text) < 200


def test_an_interrupt_and_a_refusal_of_ours_pass_the_guard(tmp_path: Path) -> None:
    path = tmp_path / "a.faulty"
    path.touch()
    with pytest.raises(DataError, match="as it is"):
        Faulty(DataError("as it is")).header(path, 0)

    class Interrupted(Faulty):
        def header(self, path: Path, axis: int) -> Header:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted(ValueError()).header(path, 0)


def test_reasons_are_short_and_printable() -> None:
    assert one_line(ValueError("\x1b[31mred\n" + "x" * 999)) == "?[31mred"
    assert len(one_line(ValueError("x" * 999))) < 170
    assert one_line(MemoryError()) == "more memory than there is would be needed"
    assert one_line(EOFError()) == "EOFError"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


def _circle(path: Path) -> None:
    path.symlink_to(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("ending", ["", *sorted(by_ending())])
@pytest.mark.parametrize("make", [_pipe, _dangling, _circle, _device, Path.mkdir])
def test_what_is_no_file_is_never_opened(make: Callable[[Path], None], ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    make(path)
    with pytest.raises(UnreadableError, match=r"pipe|No such file|folder|[Ll]ink"):
        decoder_for(path).header(path, 2)
    if ending:
        with pytest.raises(UnreadableError):
            decoder_for(path).pixels(path, None)


def test_a_size_is_believed_as_far_as_the_file_can_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    require_plausible(path, 4096, 4096)
    for shape in ((10_000, 10_000), (0, 7), (-3, 5)):
        with pytest.raises(UnreadableError, match="claims"):
            require_plausible(path, *shape)
    with path.open("r+b") as file:
        file.truncate(50_000)
    require_plausible(path, 10_000, 10_000)
    with path.open("r+b") as file:
        file.truncate(2**40)
    require_plausible(path, MOST_VALUES)
    with pytest.raises(UnreadableError, match="more than a picture has"):
        require_plausible(path, MOST_VALUES + 1)


def _huge_nifti(path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header["dim"][:4] = (3, 30_000, 30_000, 30_000)
    header["vox_offset"] = 352
    path.write_bytes(header.binaryblock + bytes(4 + 352))


def _huge_png(path: Path) -> None:
    Image.new("1", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 13_000, 13_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "make"), [("a.nii", _huge_nifti), ("a.png", _huge_png)])
def test_no_memory_is_taken_for_what_a_header_claims(
    name: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / name
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnreadableError, match="claims"):
        decoder_for(path).header(path, 2)
    with pytest.raises(UnreadableError, match="claims"):
        decoder_for(path).pixels(path, SliceRange(2, 0, 1, 1))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000


def test_a_name_that_is_not_utf_8_is_indexed_and_written(
    tmp_path: Path, picture: Callable[..., np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    for number in (1, 2):
        anat = folder / f"sub-{number}" / "anat"
        anat.mkdir(parents=True)
        volume = np.stack([picture(number + i) for i in range(5)], axis=-1)
        path = anat / f"sub-{number}_acq-b\udcfc_T1w.nii.gz"
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii.gz")
        (tmp_path / "v.nii.gz").rename(path)
    (folder / "participants.tsv").write_text("participant_id\tsite\nsub-1\tnorth\nsub-2\tnorth\n")
    index = build_index(folder, DataSection(labels=("none",)))
    assert len(index.entries) == 2
    written = tmp_path / "index.json"
    write_index(written, index)
    assert read_index(written) == index


def test_no_memory_is_taken_for_bytes_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with BoundedFile(path) as file:
        assert file.read(4) == b"0123"
        assert file.read(2**33) == b"456789"
        assert file.read(2**33) == b""
        file.seek(2)
        assert file.read() == b"23456789"
        file.seek(100)
        assert file.read(5) == b""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000


def test_a_deflated_bomb_is_refused_before_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "MOST_VALUES", 2**20)
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    small = squeeze.compress(bytes(2**22)) + squeeze.flush()
    require_inflatable([small])
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = squeeze.compress(bytes(2**22 + 2**20)) + squeeze.flush()
    with pytest.raises(UnreadableError, match="larger than any picture"):
        require_inflatable([bomb[:100], bomb[100:]])


def test_a_deflated_dicom_bomb_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.4", "1.2.3", "MR"
    dataset.Rows = dataset.Columns = 2**10
    dataset.BitsAllocated = 8
    dataset.PixelData = bytes(2**20)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "a.dcm"
    dataset.save_as(path, enforce_file_format=True)
    assert decoder_for(path).header(path, 0).size == (2**10, 2**10)
    monkeypatch.setattr(guard_module, "MOST_VALUES", 2**17)
    with pytest.raises(UnreadableError, match="larger than any picture"):
        decoder_for(path).header(path, 0)


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 6 5\nencoding: raw\n{}\n\n"
META = (
    "ObjectType = Image\nNDims = 3\nDimSize = 4 6 5\nElementType = MET_SHORT\n{}\nElementDataFile = LOCAL\n"
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (NRRD, "space directions: (1,0,0) (0,1,0)"),
        (NRRD, "space directions: (1,0,0) (0,nan,0) (0,0,1)"),
        (NRRD, "space: RAS\nspace directions: (1,0,0) (2,0,0) (0,0,1)"),
        (NRRD, "space origin: (0,nan,0)\nspace directions: (1,0,0) (0,1,0) (0,0,1)"),
        (NRRD, "sizes: 4 6 -5"),
        (NRRD, "sizes: 4 6 5 1 1"),
        (NRRD, "sizes: 99999 99999 99999"),
        (NRRD, "type: block"),
        (NRRD, "encoding: base64"),
        (META, "TransformMatrix = 1 0 0"),
        (META, "Offset = 0 0 1e999"),
        (META, "Offset = north"),
        (META, "ElementNumberOfChannels = -1"),
        (META, "ElementSpacing = 0 1 1"),
    ],
)
def test_a_header_that_no_writer_makes_is_refused(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / ("a.nrrd" if text is NRRD else "a.mha")
    odd = "# nothing odd" if text is NRRD else "Comment = nothing odd"
    path.write_bytes(text.format(odd).encode() + bytes(240))
    assert decoder_for(path).pixels(path, SliceRange(2, 0, 5, 1)).shape == (5, 6, 4, 1)
    path.write_bytes(text.format(line).encode() + bytes(240))
    with pytest.raises(UnreadableError):
        decoder_for(path).header(path, 2)


def test_an_array_file_claims_no_more_images_than_it_has_bytes(tmp_path: Path) -> None:
    path = tmp_path / "t-images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 8, 8) + bytes(128))
    assert array_shapes(path)[path.name].images == (2, 8, 8)
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">III", 2**30, 8, 8) + bytes(128))
    os.utime(path, (1, 1))
    with pytest.raises(UnreadableError, match="more than its bytes can hold"):
        array_shapes(path)


def test_a_table_may_name_what_no_file_can_be_called(one_png: Callable[..., Path]) -> None:
    folder = one_png(np.zeros((16, 16), np.uint8))
    with (folder / "metadata.csv").open("a", encoding="utf-8") as table:
        table.write("x" * 5000 + ".png,p,s,none\n")
    with pytest.raises(DataError, match="does not exist"):
        build_index(folder, DataSection(labels=("none",)))
