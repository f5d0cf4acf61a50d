"""The check of what could tell who a patient is: every planted thing is found and counted, and no value is shown."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from fedgen.cli.data import app
from fedgen.data.inspect.burned_text import TextDetector
from fedgen.data.inspect.identifying import _KEYWORDS, gives_away
from fedgen.data.inspect.phi import PhiReport, check_phi
from fedgen.data.inspect.text_look import TextLook, look_for_text
from fedgen.data.phantom.write import write_phantom
from fedgen.study.data import Phantom

SECRET = "Zyxwvut"


@pytest.fixture(autouse=True)
def without_a_detector(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """As installed without the extra; searching every picture of every test would take minutes."""
    if "detector" not in request.fixturenames:
        monkeypatch.setitem(sys.modules, "rapidocr", None)


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    pytest.importorskip("rapidocr", reason="the extra text is not installed")
    pytest.importorskip("onnxruntime", reason="the extra text is not installed")
    return TextDetector()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Eight DICOM files of four patients as a phantom has them."""
    folder = tmp_path / "export"
    write_phantom(folder, Phantom(sites=1, patients=4), 1, (32, 32))
    return folder


def change(path: Path, nested: bool = False, **tags: Any) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    if nested:
        item = Dataset()
        item.PatientBirthName, item.RequestedProcedureID = SECRET, SECRET
        dataset.RequestAttributesSequence = [item]
        dataset.private_block(0x0033, "MAKER", create=True).add_new(1, "LO", SECRET)
        dataset.add_new(0x60003000, "OW", b"\0\0")
    dataset.save_as(path)


def test_attributes_are_counted_wherever_they_stand(export: Path) -> None:
    before = check_phi(export)
    files = sorted(export.rglob("*.dcm"))
    change(
        files[0],
        OperatorsName=SECRET,
        SeriesDate="20200301",
        AccessionNumber="7",
        ImageComments=SECRET,
        PatientAddress="",
    )
    change(files[1], nested=True, OperatorsName=SECRET)
    after = check_phi(export)
    assert after.dicom == len(files)
    found = {
        (kind, name): count for kind, counts in after.attributes.items() for name, count in counts.items()
    }
    had = {
        (kind, name): count for kind, counts in before.attributes.items() for name, count in counts.items()
    }
    assert {key: count - had.get(key, 0) for key, count in found.items() if count != had.get(key, 0)} == {
        ("staff", "OperatorsName"): 2,
        ("dates and times", "SeriesDate"): 1,
        ("numbers of orders and devices", "AccessionNumber"): 1,
        ("free text", "ImageComments"): 1,
        ("the patient", "PatientBirthName"): 1,
        ("numbers of orders and devices", "RequestedProcedureID"): 1,
        ("free text", "RequestAttributesSequence"): 1,
        ("private elements", ""): 1,
        ("drawn over the picture", ""): 1,
    }  # fmt: skip
    assert SECRET not in json.dumps(after.to_json())


def test_what_tags_say_of_text_in_the_picture(export: Path) -> None:
    files = sorted(export.rglob("*.dcm"))
    for path in files:
        change(path, BurnedInAnnotation="NO")
    change(files[0], BurnedInAnnotation="YES")
    change(files[1], BurnedInAnnotation="", ImageType=["DERIVED", "SECONDARY"])
    change(files[2], BurnedInAnnotation="", ImageType=["ORIGINAL", "PRIMARY"])
    change(files[3], BurnedInAnnotation="", Modality="US", ImageType=["ORIGINAL", "PRIMARY"])
    counts = {what.split(":")[0].split(" (")[0]: n for what, n in check_phi(export).text_in_picture.items()}
    assert counts == {
        "said not to be there": len(files) - 4,
        "suspected": 2,
        "said to be there": 1,
        "nothing is said": 1,
    }


def test_folders_that_are_named_after_the_patient(export: Path) -> None:
    assert check_phi(export).named_by_patient == sum(1 for _ in export.rglob("*.dcm"))
    for number, path in enumerate(sorted(export.rglob("*.dcm"))):
        change(path, PatientID=f"other{number}")
    change(sorted(export.rglob("*.dcm"))[0], PatientName=f"{SECRET}^A")
    assert check_phi(export).named_by_patient == 0
    moved = sorted(export.rglob("*.dcm"))[0]
    moved.rename(moved.with_name(f"{SECRET.lower()}.dcm"))
    assert check_phi(export).named_by_patient == 1


def test_other_formats(tmp_path: Path) -> None:
    picture = np.zeros((8, 8), np.uint8)
    Image.fromarray(picture).save(tmp_path / "plain.png")
    info = PngInfo()
    info.add_text("Comment", SECRET)
    Image.fromarray(picture).save(tmp_path / "text.png", pnginfo=info)
    exif = Image.Exif()
    exif[0x013B] = SECRET
    exif.get_ifd(0x8825)[1] = "N"
    Image.fromarray(picture).save(tmp_path / "photo.jpg", exif=exif)
    volume = nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    nib.save(volume, tmp_path / "plain.nii.gz")
    volume.header["descrip"] = SECRET
    nib.save(volume, tmp_path / "said.nii")
    (tmp_path / "said.json").write_text(
        json.dumps({"InstitutionName": SECRET, "RepetitionTime": 2, "PatientName": ""})
    )
    (tmp_path / "list.csv").write_text(f"image,Patient Name,file_name,age\nplain.png,{SECRET},x,7\n")
    (tmp_path / "broken.dcm").write_bytes(b"x")
    report = check_phi(tmp_path)
    assert report.metadata == {
        "text in the image file": 1,
        "EXIF: position (GPS)": 1,
        "EXIF: description, author, comment or date": 1,
        "NIfTI header: descrip": 1,
        "JSON beside the image: InstitutionName": 1,
    }
    assert report.columns == ("list.csv: Patient Name",)
    assert (report.faces, report.unreadable, report.files) == ({}, 1, 8)
    assert SECRET not in json.dumps(report.to_json())


def test_the_page_shows_no_value_and_says_what_it_cannot_see(export: Path) -> None:
    change(sorted(export.rglob("*.dcm"))[0], OperatorsName=SECRET, ImageComments=SECRET)
    output = CliRunner().invoke(app, ["inspect", str(export), "--phi"], catch_exceptions=False).output
    assert SECRET not in output
    for words in ("OperatorsName (1)", "free text", "Faces are judged by shape", "pip install fedgen[text]"):
        assert words in output
    value = json.loads(CliRunner().invoke(app, ["inspect", str(export), "--phi", "--json"]).output)
    assert value == json.loads(json.dumps(check_phi(export).to_json()))


def film(seed: int = 0, side: int = 192) -> np.ndarray:
    """A picture without letters: a body with ribs, and grain."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    body = 150 * np.exp(-((x / 0.7) ** 4) - (y / 0.9) ** 4) + 12 * np.sin(14 * y + 4 * x**2)
    return np.asarray((body + np.random.default_rng(seed).normal(30, 4, body.shape)).clip(0, 255))


def written_on(picture: np.ndarray, words: str) -> np.ndarray:
    image = Image.fromarray(picture.astype(np.uint8))
    ImageDraw.Draw(image).text((8, 10), words, fill=255, font=ImageFont.load_default(size=14))
    return np.asarray(image).astype(np.float64)


def test_letters_in_pictures_are_found_and_never_read(
    detector: TextDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "socket", None)
    words = f"{SECRET} 1970"
    plain, written = film(1), written_on(film(1), words)
    assert detector.suspects((written * 16 - 1024)[..., None].astype(np.float32))
    assert not detector.suspects(np.zeros((40, 30, 1), np.float32))
    Image.fromarray(plain.astype(np.uint8)).save(tmp_path / "plain.png")
    Image.fromarray(written.astype(np.uint8)).convert("RGB").save(tmp_path / "written.png")
    output = CliRunner().invoke(app, ["inspect", str(tmp_path), "--phi"], catch_exceptions=False).output
    assert "2 pictures of 2 files searched for text: suspected in 1 file (written.png)" in output
    said = "".join(capfd.readouterr()) + output
    assert SECRET not in said
    assert "misses letters" in said


def test_of_a_series_the_first_the_middle_and_the_last_are_searched(tmp_path: Path, export: Path) -> None:
    class Finds:
        """Letters in every picture."""

        def suspects(self, picture: np.ndarray) -> bool:
            return True

    def look(files: list[str], series: dict[str, str], folder: Path = export) -> TextLook:
        return look_for_text(Finds(), folder, files, series)  # type: ignore[arg-type]

    files = sorted(path.relative_to(export).as_posix() for path in export.rglob("*.dcm"))[:7]
    one = look([*files, "notes.txt"], dict.fromkeys(files, "1.2"))
    assert one.suspected == (files[0], files[3], files[6])
    assert (one.pictures, one.files, one.left) == (3, 3, 4)
    assert look(files, dict.fromkeys(files, "")).suspected == tuple(files)
    nib.save(nib.Nifti1Image(np.arange(1000.0).reshape(10, 10, 10), np.eye(4)), tmp_path / "v.nii")
    (tmp_path / "broken.png").write_bytes(b"x")
    two = look(["broken.png", "v.nii"], {}, tmp_path)
    assert (two.pictures, two.files, two.left, two.suspected) == (1, 1, 1, ("v.nii",))


def test_every_keyword_is_one_of_the_standard() -> None:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    for kind, keywords in _KEYWORDS.items():
        for keyword in keywords.split():
            tag = tag_for_keyword(keyword)
            assert tag is not None, keyword
            element = Dataset()
            element.add_new(tag, dictionary_VR(tag).split()[0], None)
            assert gives_away(element[tag]) == kind


def test_what_tells_nothing() -> None:
    dataset = Dataset()
    dataset.Rows, dataset.SOPClassUID, dataset.Modality = 3, "1.2", "MR"
    assert [gives_away(element) for element in dataset] == [None, None, None]
    assert PhiReport().to_json()["not_checked"]
