"""Left stays left from the file to the release: a mark is put into a patient, cut, released, and looked for."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from fedgen.data.build import build_index
from fedgen.data.decode import decode_site
from fedgen.data.decoders.nifti import NiftiDecoder
from fedgen.data.geometry import join_grids
from fedgen.data.index import SliceRange
from fedgen.data.load import site_data
from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.study.data import DataSection
from fedgen.synthesis.dicom_tags import Provenance
from fedgen.synthesis.formats import nifti_bytes, png_bytes
from fedgen.synthesis.samples import write_samples
from fedgen.task.image_spec import ImageSpec

ABOUT = Provenance("ab", "No patient is in them.", "T1w", datetime(2026, 1, 2, tzinfo=UTC))
#: A mark at the left, front and top of the patient, in mm from the middle of the volume, RAS.
MARK = np.array([-24.0, 16.0, 8.0])
ZOOMS, SIDES = np.array([2.0, 2.0, 2.0]), np.array([40, 32, 24])
TOWARDS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def head(codes: str) -> nib.Nifti1Image:
    """A gray box of 80 x 64 x 48 mm whose middle is the origin, with a bright column through MARK, stored as `codes`.

    The column runs along every axis in turn, so that each slice shows the two coordinates that it can.
    """
    voxels = np.full(SIDES, 60, np.uint8)
    at = np.round(MARK / ZOOMS + (SIDES - 1) / 2).astype(int)
    for axis in range(3):
        through = [slice(at[n] - 1, at[n] + 2) for n in range(3)]
        through[axis] = slice(None)
        voxels[tuple(through)] = 250
    affine = np.diag([*ZOOMS, 1.0])
    affine[:3, 3] = -(SIDES - 1) / 2 * ZOOMS
    stored = nib.Nifti1Image(voxels, affine)
    order = nib.orientations.axcodes2ornt(tuple(codes))
    return stored.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), order))


def site_of(folder: Path, data: DataSection) -> SiteData:
    index = build_index(folder, data)
    parts = dict.fromkeys(index.patients, Part.TRAIN)
    return site_data("s", index.entries, decode_site(folder, index.entries, data), parts, data, folder)


def released(
    folder: Path, site: SiteData, data: DataSection, formats: Sequence[str] = ("nifti", "png")
) -> list[Path]:
    """The site's own first image as a release, as if a model had drawn it."""
    grid, _ = join_grids({"s": site.grid}, data)
    made = LabelledImages(site.images[:1].float(), torch.zeros(1, dtype=torch.int64))
    return write_samples(folder, made, ("none",), formats, grid, window=(0.0, 255.0), about=ABOUT)


def offset_of_the_mark(path: Path) -> np.ndarray:
    """mm, in RAS, from the middle of the patient to the middle of the brightest voxels, by nibabel's affine."""
    file = nib.load(path)
    values = file.get_fdata()
    bright = np.argwhere(values > 0.9 * values.max()).mean(axis=0)
    # Padding of an odd number of pixels cannot be the same on both sides.
    inside = np.argwhere(values > 20)
    middle = (inside.min(axis=0) + inside.max(axis=0)) / 2
    return file.affine[:3, :3] @ (bright - middle)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PIR", "SLA"])
def test_a_mark_in_a_nifti_volume_keeps_its_side_and_its_millimetres(
    tmp_path: Path, codes: str, axis: int
) -> None:
    anat = tmp_path / "in" / "sub-1" / "anat"
    anat.mkdir(parents=True)
    nib.save(head(codes), anat / "sub-1_T1w.nii.gz")
    (tmp_path / "in" / "participants.tsv").write_text("participant_id\tsite\nsub-1\ts\n")
    # Far from the other two columns, so that only the one along the cut axis shows.
    slices = {"axis": axis, "lower": 0.9, "upper": 0.9}
    data = DataSection.model_validate({"labels": ("none",), "image_size": (32, 32), "slices": slices})
    site = site_of(tmp_path / "in", data)
    nifti, _ = released(tmp_path / "out", site, data)
    file = nib.load(nifti)
    assert nib.aff2axcodes(file.affine) == ("R", "A", "S")
    assert (file.header["sform_code"], file.header["qform_code"]) == (2, 2)
    assert file.header["descrip"].item().decode() == "synthetic, fedgen"
    expected = MARK.copy()
    expected[axis] = 0
    assert offset_of_the_mark(nifti) == pytest.approx(expected, abs=1.5)
    # 80, 64 or 48 mm over the whole picture, whatever was padded.
    for anatomical in {0, 1, 2} - {axis}:
        values = file.get_fdata()
        inside = np.unique(np.argwhere(values > 20)[:, anatomical]).size
        extent = inside * file.header.get_zooms()[anatomical]
        assert extent == pytest.approx((SIDES * ZOOMS)[anatomical], rel=0.02)
    # fedgen's own reader gives the very picture back.
    again = NiftiDecoder().pixels(nifti, SliceRange(axis, 0, 1, 1))[0, ..., 0]
    np.testing.assert_allclose(again / 127.5 - 1, site.images[0, 0].float(), atol=1e-3)


ORIENTATIONS = {
    "PL": (1, 0, 0, 0, 1, 0),
    "PR": (-1, 0, 0, 0, 1, 0),
    "IL": (1, 0, 0, 0, 0, -1),
    "IP": (0, 1, 0, 0, 0, -1),
    "AL": (1, 0, 0, 0, -1, 0),
    "SA": (0, -1, 0, 0, 0, 1),
}


def dicom_folder(folder: Path, cosines: Sequence[float] | None, spacing: Sequence[float] | None) -> Path:
    """One image of 24 x 32 pixels with a mark in row 4, column 26."""
    folder.mkdir()
    stored = np.full((24, 32), 60, np.uint16)
    stored[3:6, 25:28] = 250
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.PatientID, dataset.InstitutionName, dataset.Modality = "p", "s", "MR"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.tobytes()
    if cosines is not None:
        dataset.ImageOrientationPatient = list(cosines)
    if spacing is not None:
        dataset.PixelSpacing = list(spacing)
    dataset.save_as(folder / "1.dcm", enforce_file_format=True)
    return folder


SQUARE = DataSection(labels=("none",), image_size=(32, 32))


#: What slices of each plane are turned to as they are read.
UPRIGHT = {"PL": "PR", "PR": "PR", "AL": "PR", "IL": "IR", "IP": "IA", "SA": "IA"}


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_a_mark_in_a_dicom_slice_keeps_its_side_and_its_millimetres(tmp_path: Path, orientation: str) -> None:
    site = site_of(dicom_folder(tmp_path / "in", ORIENTATIONS[orientation], (1.5, 1.5)), SQUARE)
    assert site.grid.orientation == UPRIGHT[orientation]
    nifti, png, dicom = released(tmp_path / "out", site, SQUARE, ("nifti", "png", "dicom"))
    # The mark lies 7.5 rows above and 10.5 columns right of the middle of the picture.
    expected = np.zeros(3)
    for end, steps in zip(orientation, (-7.5, 10.5), strict=True):
        axis, sign = TOWARDS[end]
        expected[axis] = sign * steps * 1.5
    assert offset_of_the_mark(nifti) == pytest.approx(expected, abs=0.01)
    assert nib.aff2axcodes(nib.load(nifti).affine) == ("R", "A", "S")
    assert Image.open(png).info["dpi"] == pytest.approx((25.4 / 1.5, 25.4 / 1.5), rel=1e-3)
    # Indexed as a PACS exports it, the released DICOM is the very image again.
    (tmp_path / "again").mkdir()
    dicom.rename(tmp_path / "again" / dicom.name)
    again = site_of(tmp_path / "again", SQUARE)
    assert (again.site, again.grid) == ("s", site.grid)
    np.testing.assert_allclose(again.images[0].float(), site.images[0].float(), atol=1 / 127)


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    site = site_of(dicom_folder(tmp_path / "in", None, None), SQUARE)
    nifti, png = released(tmp_path / "out", site, SQUARE)
    header = nib.load(nifti).header
    assert (header["sform_code"], header["qform_code"]) == (0, 0)
    assert header["descrip"].item().decode() == "synthetic, fedgen; orientation unknown; spacing unknown"
    assert header.get_xyzt_units()[0] == "unknown"
    assert NiftiDecoder().header(nifti, 2).orientation == ""
    # x along the rows of the picture, y to its top.
    values = np.asarray(nib.load(nifti).dataobj)
    np.testing.assert_allclose(values[:, ::-1, 0].T / 127.5 - 1, site.images[0, 0].float(), atol=1e-3)
    assert "dpi" not in Image.open(png).info


def test_a_spacing_without_an_orientation_is_kept(tmp_path: Path) -> None:
    site = site_of(dicom_folder(tmp_path / "in", None, (2.0, 1.0)), SQUARE)
    nifti, png = released(tmp_path / "out", site, SQUARE)
    header = nib.load(nifti).header
    # 48 mm x 32 mm fill 32 x 21 pixels.
    assert header.get_zooms()[:2] == pytest.approx((32 / 21, 48 / 32), rel=1e-3)
    assert header["descrip"].item().decode() == "synthetic, fedgen; orientation unknown"
    across, down = Image.open(png).info["dpi"]
    assert (25.4 / across, 25.4 / down) == pytest.approx((32 / 21, 48 / 32), rel=1e-3)


@pytest.mark.parametrize("spacing", [1e-7, 50.0])
def test_a_png_states_no_resolution_that_it_cannot_hold(spacing: float) -> None:
    picture = Image.open(io.BytesIO(png_bytes(torch.zeros(1, 4, 6), (spacing, spacing))))
    assert "dpi" not in picture.info


@pytest.mark.parametrize("orientation", ["SPR", "SPL", "IAL", "LSP", ""])
def test_a_volume_of_three_axes(orientation: str) -> None:
    image = torch.linspace(-1, 1, 4 * 6 * 8).view(1, 4, 6, 8)
    grid = ImageSpec(channels=1, size=(4, 6, 8), spacing=(3.0, 2.0, 1.0), orientation=orientation)
    file = nib.Nifti1Image.from_bytes(gzip.decompress(nifti_bytes(image, grid, (-1.0, 1.0))))
    values = file.get_fdata()
    if not orientation:
        np.testing.assert_allclose(values[:, ::-1].transpose(2, 1, 0), image[0], atol=1e-6)
        assert file.header.get_zooms() == (1.0, 2.0, 3.0)
        return
    assert nib.aff2axcodes(file.affine) == ("R", "A", "S")
    for axis, end in enumerate(orientation):
        anatomical, sign = TOWARDS[end]
        assert file.header.get_zooms()[anatomical] == grid.spacing[axis]
        # Steps along an axis of the image are those along its side of the patient.
        along = np.diff(values, axis=anatomical)
        np.testing.assert_allclose(along, sign * np.diff(image[0], axis=axis).flat[0], atol=1e-5)
