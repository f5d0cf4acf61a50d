"""A released translation writes what it makes where its source lies: equal grids give equal voxels in any format.

The model here gives its first source back, so that every voxel that is written has to be one of the source's own.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import yaml
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.index import SliceRange
from fedgen.errors import DataError, StudyError
from fedgen.pipeline.translate import ReleasedModel, translate
from fedgen.run.model_card import WEIGHTS, ModelCard
from fedgen.run.row import Verdict
from fedgen.study.load import load_study

SHAPE = (20, 24, 6)


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Any]:
    def load(**data: Any) -> Any:
        section = {
            "contrasts": ["T1w", "T2w", "FLAIR"],
            "image_size": [24, 24],
            "intensity": {"lower": 0, "upper": 200},
            **data,
        }
        text = {"study": {"name": "t"}, "task": {"kind": "translate", "target": "FLAIR"}, "data": section,
                "privacy": {"mode": "none"}}  # fmt: skip
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(text))
        return load_study(str(path))

    return load


def model(study: Any, needed: tuple[str, ...] = ("T1w", "T2w")) -> ReleasedModel:
    card = ModelCard(
        study="t", study_sha256="0" * 64, target="FLAIR", sources=("T1w", "T2w"), needed=needed, image=None,
        mode="none", epsilon=None, delta=None, unprotected=("a",), protected=(), statement="No privacy.",
        verdict=Verdict.REVIEW, worth=None, use="", files={WEIGHTS: "ab" * 32},
    )  # fmt: skip

    class FirstSource(ReleasedModel):
        def maker(self, device: str) -> Callable[[Any], NDArray[np.float32]]:
            return lambda sources: next(iter(sources.images.values()))[:, 0].numpy()

    return FirstSource(card, SimpleNamespace(study=study, task=study.made), Path())  # type: ignore[arg-type]


def volume(seed: int, shape: tuple[int, ...] = SHAPE) -> NDArray[np.int16]:
    # Whole numbers that a float16 of the window holds exactly.
    return (np.random.default_rng(seed).integers(0, 100, shape) * 2).astype(np.int16)


def nifti(
    path: Path, voxels: NDArray[np.int16], codes: str = "RAS", spacing: tuple[float, ...] = (1, 1, 3)
) -> Path:
    """The same patient's voxels, stored in the order of `codes`, with an oblique affine of its own."""
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-11.5, 7.25, 3)
    angle = np.radians(4)
    affine = np.array([[np.cos(angle), -np.sin(angle), 0, 0], [np.sin(angle), np.cos(angle), 0, 0], [0, 0, 1, 0],
                       [0, 0, 0, 1]]) @ affine  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, affine).as_reoriented(turn)
    nib.save(image, path)
    return path


def bids(folder: Path, subjects: Mapping[str, tuple[str, ...]], codes: str = "RAS") -> Path:
    for number, (subject, contrasts) in enumerate(subjects.items()):
        for kind, contrast in enumerate(contrasts):
            nifti(
                folder / subject / "ses-1" / "anat" / f"{subject}_ses-1_{contrast}.nii.gz",
                volume(10 * number + kind),
                codes,
            )
    return folder


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_a_volume_lies_as_its_source_to_the_voxel(tmp_path: Path, study: Any, codes: str) -> None:
    data = bids(tmp_path / "data", {"sub-01": ("T1w", "T2w"), "sub-02": ("T1w", "T2w")}, codes)
    asked = study(image_size=[24, 24], slices={"axis": 2, "lower": 0.5, "upper": 0.5})
    made = list(translate(model(asked), data, tmp_path / "out", None, "cpu"))
    assert [each.patient for each in made] == ["sub-01", "sub-02"]
    for each in made:
        source = nib.load(data / each.patient / "ses-1" / "anat" / f"{each.patient}_ses-1_T1w.nii.gz")
        found = nib.load(tmp_path / "out" / each.files[0])
        assert found.shape == source.shape
        assert np.array_equal(found.affine, source.affine)
        assert io_orientation(found.affine).tolist() == io_orientation(source.affine).tolist()
        assert b"synthetic" in bytes(found.header["descrip"])
        # 20 x 24 pixels in 24 x 24: nothing is resampled.
        assert np.abs(found.get_fdata() - source.get_fdata()).max() < 0.1
    rows = list(csv.DictReader((tmp_path / "out" / "translated.csv").open()))
    assert [row["sources"] for row in rows] == ["T1w+T2w"] * 2


def test_a_coarser_model_is_resampled_back_to_the_source(tmp_path: Path, study: Any) -> None:
    data = tmp_path / "data"
    smooth = (np.add.outer(np.linspace(0, 60, 40), np.linspace(0, 60, 48))[..., None] + np.zeros(5)).astype(
        np.int16
    )
    for contrast in ("T1w", "T2w"):
        nifti(data / "sub-01" / "anat" / f"sub-01_{contrast}.nii.gz", smooth)
    made = list(translate(model(study()), data, tmp_path / "out", "nifti", "cpu"))
    found = nib.load(tmp_path / "out" / made[0].files[0])
    assert found.shape == (40, 48, 5)
    assert np.abs(found.get_fdata() - smooth).max() < 4


def test_whole_volumes_and_slices_with_neighbours_come_back_as_volumes(tmp_path: Path, study: Any) -> None:
    data = tmp_path / "data"
    voxels = volume(1, (16, 16, 16))
    for contrast in ("T1w", "T2w"):
        nifti(data / "sub-01" / "anat" / f"sub-01_{contrast}.nii.gz", voxels, spacing=(2, 2, 2))
    whole = study(image_size=[16, 16, 16])
    made = list(translate(model(whole), data, tmp_path / "whole", None, "cpu"))
    assert np.abs(nib.load(tmp_path / "whole" / made[0].files[0]).get_fdata() - voxels).max() < 0.1


def dicom_series(folder: Path, voxels: NDArray[np.int16], description: str, *, flipped: bool = False) -> None:
    """An axial series as a scanner stores it: columns to the left, rows to the back; or turned by half."""
    folder.mkdir(parents=True, exist_ok=True)
    sign = -1 if flipped else 1
    for number in range(voxels.shape[2]):
        tags = pydicom.Dataset()
        tags.file_meta = pydicom.dataset.FileMetaDataset()
        tags.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        tags.SOPClassUID = pydicom.uid.MRImageStorage
        tags.SOPInstanceUID = f"1.2.3.{abs(hash((folder.name, description, number)))}"
        tags.file_meta.MediaStorageSOPClassUID = tags.SOPClassUID
        tags.file_meta.MediaStorageSOPInstanceUID = tags.SOPInstanceUID
        tags.PatientID, tags.PatientName, tags.StudyInstanceUID = "P1", "Doe^Jane", "1.2.3.4"
        tags.SeriesInstanceUID = f"1.2.3.5.{abs(hash(description))}"
        tags.FrameOfReferenceUID, tags.Modality, tags.SeriesDescription = "1.2.3.6", "MR", description
        tags.InstitutionName, tags.SeriesNumber, tags.InstanceNumber = "north", 3, number + 1
        tags.ImageOrientationPatient = [sign, 0, 0, 0, sign, 0]
        tags.ImagePositionPatient = [-10 * sign, -12 * sign, 3.0 * number]
        tags.PixelSpacing, tags.SliceThickness = [1, 1], 3
        tags.Rows, tags.Columns = voxels.shape[1], voxels.shape[0]
        tags.SamplesPerPixel, tags.PhotometricInterpretation = 1, "MONOCHROME2"
        tags.BitsAllocated, tags.BitsStored, tags.HighBit, tags.PixelRepresentation = 16, 16, 15, 1
        tags.PixelData = np.ascontiguousarray(voxels[:, :, number].T).astype("<i2").tobytes()
        tags.save_as(folder / f"{description}_{number}.dcm", enforce_file_format=True)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_derived_series_is_the_patients_own_and_says_that_it_is_synthetic(
    tmp_path: Path, study: Any, flipped: bool
) -> None:
    data = tmp_path / "data"
    for description in ("T1w", "T2w"):
        dicom_series(data / "P1", volume(3), description, flipped=flipped)
    made = list(translate(model(study()), data, tmp_path / "out", None, "cpu"))
    assert len(made) == 1 and len(made[0].files) == SHAPE[2]
    sources = {
        float(t.ImagePositionPatient[2]): t for t in map(pydicom.dcmread, sorted((data / "P1").glob("T1w*")))
    }
    found = [pydicom.dcmread(tmp_path / "out" / file) for file in made[0].files]
    for tags in found:
        source = sources[float(tags.ImagePositionPatient[2])]
        for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "ImageOrientationPatient",
                        "ImagePositionPatient", "PixelSpacing", "Rows", "Columns"):  # fmt: skip
            assert tags[keyword].value == source[keyword].value, keyword
        values = tags.pixel_array * float(tags.RescaleSlope) + float(tags.RescaleIntercept)
        assert np.abs(values - source.pixel_array).max() < 0.1
        assert tags.SyntheticData == "YES" and tags.ImageType[0] == "DERIVED"
        assert "Synthetic" in tags.DerivationDescription and "No privacy." in tags.ImageComments
        assert tags.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert tags.SOPInstanceUID != source.SOPInstanceUID
    assert len({tags.SeriesInstanceUID for tags in found}) == 1
    assert len({tags.SOPInstanceUID for tags in found}) == SHAPE[2]
    assert found[0].SeriesInstanceUID not in {t.SeriesInstanceUID for t in sources.values()}
    # And the program's own reader gives the source's images back.
    whole = SliceRange(2, 0, SHAPE[2], 1)
    again, before = (
        decoder_for(files[0]).series(files, whole)
        for files in (
            [tmp_path / "out" / f for f in made[0].files],
            [Path(t.filename) for _, t in sorted(sources.items())],
        )
    )
    assert np.abs(again - before).max() < 0.1


def test_pictures_come_back_as_pictures(tmp_path: Path, study: Any) -> None:
    data = tmp_path / "data"
    data.mkdir()
    pixels = (volume(4, (24, 20)) // 2 * 2).astype(np.uint8)
    rows = ["image,patient,site,modality"]
    for contrast in ("T1w", "T2w"):
        Image.fromarray(pixels).save(data / f"{contrast}.png")
        rows.append(f"{contrast}.png,p,north,{contrast}")
    (data / "metadata.csv").write_text("\n".join(rows) + "\n")
    asked = study(intensity={"lower": 0, "upper": 255})
    made = list(translate(model(asked), data, tmp_path / "out", None, "cpu"))
    assert made[0].files == ("p/FLAIR.png",)
    found = np.asarray(Image.open(tmp_path / "out" / "p" / "FLAIR.png"))
    assert found.shape == pixels.shape and np.abs(found.astype(int) - pixels).max() <= 1
    with pytest.raises(DataError, match=r"does not say where it lies.*--format png"):
        list(translate(model(asked), data, tmp_path / "other", "nifti", "cpu"))
    with pytest.raises(DataError, match=r"no DICOM file.*--format nifti"):
        list(translate(model(asked), data, tmp_path / "third", "dicom", "cpu"))


def test_what_is_missing_is_said_before_anything_is_written(tmp_path: Path, study: Any) -> None:
    data = bids(tmp_path / "data", {"sub-01": ("T1w", "T2w"), "sub-02": ("T1w",)})
    with pytest.raises(DataError, match=r"sub-02 at ses-1 has no T2w, which the model cannot do without"):
        list(translate(model(study()), data, tmp_path / "out", None, "cpu"))
    assert not (tmp_path / "out").exists()
    made = list(translate(model(study(), ("T1w",)), data, tmp_path / "out", None, "cpu"))
    assert len(made) == 2
    with pytest.raises(StudyError, match="is not empty"):
        list(translate(model(study()), data, tmp_path / "out", None, "cpu"))
    other = bids(tmp_path / "none", {"sub-01": ("bold",)})
    with pytest.raises(DataError, match="has no image of T1w"):
        list(translate(model(study()), other, tmp_path / "empty", None, "cpu"))


def test_a_png_holds_no_volume(tmp_path: Path, study: Any) -> None:
    data = bids(tmp_path / "data", {"sub-01": ("T1w", "T2w")})
    with pytest.raises(DataError, match="is a volume, which no PNG holds"):
        list(translate(model(study()), data, tmp_path / "out", "png", "cpu"))


def test_what_is_no_released_translation_is_refused(tmp_path: Path, study: Any) -> None:
    with pytest.raises(DataError, match="has no released model"):
        ReleasedModel.open(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "study.yaml").write_text(yaml.safe_dump({"study": {"name": "t"}, "privacy": {"mode": "none"}}))
    with pytest.raises(StudyError, match="translates nothing"):
        ReleasedModel.open(run)
    folder = run / "model"
    folder.mkdir()
    card = model(study()).card
    (folder / "card.json").write_text(card.model_dump_json())
    (folder / WEIGHTS).write_bytes(b"other")
    for path in (run, folder):
        with pytest.raises(DataError, match="is missing or has been changed"):
            ReleasedModel.open(path)


def test_the_command_says_what_it_made_and_where(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bids(tmp_path / "data", {"sub-01": ("T1w", "T2w"), "sub-02": ("T1w", "T2w")})
    monkeypatch.setattr(ReleasedModel, "open", lambda run: model(study()))
    out = tmp_path / "made"
    done = CliRunner().invoke(app, ["translate", str(tmp_path), "--data", str(data), "--out", str(out)])
    assert done.exit_code == 0, done.output
    first, *lines, last = done.stdout.splitlines()
    assert first == "FLAIR from T1w and T2w: No privacy."
    assert len(lines) == 2
    for line in lines:
        file = line.split(": ")[1]
        assert nib.load(out / file).shape == SHAPE
    assert last.startswith(f"2 made in {out}. They are synthetic")

    again = CliRunner().invoke(app, ["translate", str(tmp_path), "--data", str(data), "--out", str(out)])
    assert isinstance(again.exception, StudyError)
    nowhere = CliRunner().invoke(app, ["translate", str(tmp_path), "--data", str(tmp_path / "absent")])
    assert isinstance(nowhere.exception, StudyError)
