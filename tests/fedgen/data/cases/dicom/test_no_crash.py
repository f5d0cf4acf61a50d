"""Damaged DICOM files and odd things beside them end in a sentence that names the file, never in a crash or a wait."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from fedgen.data.build import build_index
from fedgen.data.index import read_index, write_index
from fedgen.data.inspect.look import inspect_data
from fedgen.errors import DataError
from fedgen.study.data import DataSection

WriteDicom = Callable[..., Dataset]
ANY = DataSection(labels=("any",))
PICTURE = np.arange(48, dtype=np.uint16).reshape(6, 8)


def patched(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


@pytest.mark.parametrize(
    "element",
    [
        b"\x08\x00\x60\x00CS",  # Modality
        b"\x10\x00\x20\x00LO",  # PatientID
        b"\x28\x00\x10\x00US",  # Rows
        b"\x20\x00\x0d\x00UI",  # StudyInstanceUID
    ],
)
def test_an_element_of_no_known_kind_names_its_file(
    element: bytes, write_dicom: WriteDicom, tmp_path: Path
) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    write_dicom(tmp_path / "b.dcm", PICTURE + 1)
    patched(tmp_path / "b.dcm", element, element[:4] + b"C\x87")
    with pytest.raises(DataError, match=r"^b\.dcm (has |cannot be read)"):
        build_index(tmp_path, ANY)
    # The first look goes on with the others.
    report = inspect_data(tmp_path)
    assert [problem.path for problem in report.unreadable] == ["b.dcm"]
    assert sum(site.images for site in report.sites) == 1


def test_the_key_of_a_label_table_may_be_the_damaged_element(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    (tmp_path / "labels.csv").write_text("SOPInstanceUID,label\n1.2.3,any\n")
    patched(tmp_path / "a.dcm", b"\x08\x00\x18\x00UI", b"\x08\x00\x18\x00U\0")
    with pytest.raises(DataError, match=r"^a\.dcm "):
        build_index(tmp_path, ANY)


def test_a_name_in_another_encoding_is_indexed_written_and_read_back(
    write_dicom: WriteDicom, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write_dicom(tmp_path / "a.dcm", PICTURE)
    (tmp_path / "a.dcm").rename(folder / os.fsdecode(b"Sch\xfctz.dcm"))
    index = build_index(folder, ANY)
    assert [entry.path for entry in index.entries] == ["Sch\udcfctz.dcm"]
    write_index(tmp_path / "index.json", index)
    assert read_index(tmp_path / "index.json") == index
    json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))


def test_pipes_beside_the_images_are_never_opened(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    for name in ("labels.csv", "notes", "1.2.3"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=r"^1\.2\.3 is a pipe, a socket or a device"):
        build_index(tmp_path, ANY)
    (tmp_path / "1.2.3").unlink()
    (tmp_path / "notes").unlink()
    index = build_index(tmp_path, ANY.model_copy(update={"unused_share": 1.0}))
    assert [entry.path for entry in index.entries] == ["a.dcm"]
