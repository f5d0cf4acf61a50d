"""Spacing and orientation: from every kind of file into the index, through resampling, to a site and to all sites."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.data.build import build_index
from fedgen.data.decode import DecodedSite
from fedgen.data.decoders.decoder import Header
from fedgen.data.decoders.dicom.native import header_of, native_of
from fedgen.data.decoders.nifti import NiftiDecoder
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.geometry import (
    agreed_orientation,
    agreed_spacing,
    join_grids,
    prepared_spacing,
    site_geometry,
)
from fedgen.data.index import IndexEntry, SliceRange
from fedgen.data.load import site_data
from fedgen.data.phantom.write import write_phantom
from fedgen.data.pixels import centre
from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import Part, SiteData
from fedgen.data.site_tensors import read_site, write_site
from fedgen.study.data import DataSection, Phantom
from fedgen.study.study import Study
from fedgen.task.image_spec import OPPOSITES, ImageSpec

SHAPE, ZOOMS = (6, 8, 10), (2.0, 3.0, 4.0)
TOWARDS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def volume(path: Path, codes: str) -> Path:
    """A volume whose voxel value is 100 x + 10 y + z in RAS voxels, stored with axes `codes`."""
    x, y, z = np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij")
    ras = nib.Nifti1Image((100 * x + 10 * y + z).astype(np.float32), np.diag([*ZOOMS, 1.0]))
    order = nib.orientations.axcodes2ornt(tuple(codes))
    nib.save(ras.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(ras.affine), order)), path)
    assert "".join(nib.aff2axcodes(nib.load(path).affine)) == codes
    return path


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPI", "PIR", "SAL", "ASR"])
def test_a_nifti_slice_says_what_its_pixels_grow_towards(tmp_path: Path, codes: str, axis: int) -> None:
    decoder, path = NiftiDecoder(), volume(tmp_path / "a.nii.gz", codes)
    header = decoder.header(path, axis)
    pixels = decoder.pixels(path, SliceRange(axis, 2, 3, 1))[0, ..., 0]
    assert pixels.shape == header.size
    x, y, z = pixels // 100, pixels % 100 // 10, pixels % 10
    for n, end in enumerate(header.orientation):
        anatomical, sign = TOWARDS[end]
        steps = np.diff((x, y, z)[anatomical], axis=n)
        assert (steps == sign).all(), (n, end)
        assert header.spacing is not None
        assert header.spacing[n] == ZOOMS[anatomical]
    assert {TOWARDS[end][0] for end in header.orientation} == {0, 1, 2} - {axis}


def test_a_nifti_without_codes_has_no_orientation(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.float32), None)
    image.header.set_zooms(ZOOMS)
    image.to_filename(tmp_path / "a.nii")
    header = NiftiDecoder().header(tmp_path / "a.nii", 2)
    assert (header.orientation, header.spacing) == ("", (3.0, 2.0))
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "a.nii")
    assert NiftiDecoder().header(tmp_path / "a.nii", 2).spacing == pytest.approx((0.003, 0.002))


def tags(cosines: Any, spacing: Any = ("0.5", "0.25")) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = 4, 6, list(spacing)
    dataset.ImagePositionPatient = [0, 0, 0]
    if cosines is not None:
        dataset.ImageOrientationPatient = list(cosines)
    return dataset


def dicom_header(dataset: pydicom.Dataset) -> Header:
    return header_of(native_of(dataset), 2)


@pytest.mark.parametrize(
    ("cosines", "stored"),
    [
        ((1, 0, 0, 0, 1, 0), "PL"),
        ((1, 0, 0, 0, 0, -1), "IL"),
        ((0, 1, 0, 0, 0, -1), "IP"),
        ((-1, 0, 0, 0, 0, 1), "SR"),
        ((0.9, 0.1, 0.2, -0.1, 0.95, 0.3), "PL"),
        (None, ""),
        ((1, 0, 0, 1, 0, 0), ""),
        ((0, 0, 0, 0, 0, 0), ""),
        ((1, 0, 0), ""),
    ],
)
def test_a_dicom_image_says_where_it_lies_or_nothing(cosines: Any, stored: str) -> None:
    header = dicom_header(tags(cosines))
    assert (header.stored_orientation, header.spacing) == (stored, (0.5, 0.25))
    upright = {"PL": "PR", "IL": "IR", "IP": "IA", "SR": "IR", "": ""}
    assert header.orientation == upright[stored]


@given(st.sampled_from([a + b for a in OPPOSITES for b in OPPOSITES if b not in (a, OPPOSITES[a])]))
def test_dicom_orientations_are_those_of_nibabel(orientation: str) -> None:
    lps = {"L": (1, 0, 0), "P": (0, 1, 0), "S": (0, 0, 1)}
    lps |= {OPPOSITES[end]: tuple(-x for x in direction) for end, direction in lps.items()}
    dataset = tags((*lps[orientation[1]], *lps[orientation[0]]))
    header = dicom_header(dataset)
    assert (header.stored_orientation or header.orientation) == orientation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nibabel's, about its readers of DICOM
        from nibabel.nicom.dicomwrappers import wrapper_from_data
    # nibabel's affine has rows first, in LPS.
    affine = wrapper_from_data(dataset).affine
    assert "".join(nib.aff2axcodes(affine, (("R", "L"), ("A", "P"), ("I", "S")))[:2]) == orientation


@pytest.mark.parametrize("spacing", [("0", "1"), ("1e9", "1"), ("1", "-1"), ("0",), ("1", "1", "1")])
def test_an_impossible_spacing_is_unknown(spacing: tuple[str, ...]) -> None:
    assert dicom_header(tags(None, spacing)).spacing is None


def entry(size: tuple[int, int] = (8, 8), spacing: Any = None, orientation: str = "") -> IndexEntry:
    return IndexEntry(("a",), "p", "s", "none", None, "", "", "", spacing, orientation, None, size)


def test_the_spacing_of_a_prepared_image_spans_the_same_millimetres() -> None:
    # 80 x 64 voxels of 2.5 mm become 64 x 51 pixels: 200 mm and 160 mm as before, whatever is padded.
    spacing = prepared_spacing(entry((80, 64), (2.5, 2.5)), (64, 64))
    assert spacing == pytest.approx((200 / 64, 160 / 51))
    # 50 rows of 2 mm and 100 columns of 1 mm fill a square.
    assert prepared_spacing(entry((50, 100), (2.0, 1.0)), (64, 64)) == pytest.approx((100 / 64, 100 / 64))
    assert prepared_spacing(entry((50, 100)), (64, 64)) is None
    assert prepared_spacing(entry((30000, 30000), (9000.0, 9000.0)), (16, 16)) is None


def test_the_padding_is_centred_on_every_axis() -> None:
    padded = centre(np.ones((2, 3, 4, 1)), (4, 4, 4), 0)
    assert padded.shape == (4, 4, 4, 1)
    np.testing.assert_array_equal(np.argwhere(padded[..., 0])[[0, -1]], [[1, 0, 0], [2, 2, 3]])


@given(st.lists(st.tuples(st.floats(0.9, 1.1), st.floats(2.0, 2.03)), min_size=1, max_size=6))
def test_agreed_spacings_are_close_to_all(spacings: list[tuple[float, float]]) -> None:
    agreed = agreed_spacing(spacings)
    close = all(max(s[n] for s in spacings) <= 1.01 * min(s[n] for s in spacings) for n in (0, 1))
    assert (agreed is not None) == close
    if agreed is not None:
        assert all(abs(a / b - 1) < 0.006 for s in spacings for a, b in zip(agreed, s, strict=True))
        assert agreed_spacing([*spacings, *spacings[:1] * 5]) == agreed, (
            "how many there are of each tells nothing"
        )
        assert agreed_spacing([agreed]) == agreed
        assert agreed_spacing([*spacings, None]) is None


def test_nothing_is_agreed_on_where_nothing_is_known() -> None:
    assert agreed_spacing([]) is None
    assert agreed_spacing([None, None]) is None
    assert agreed_spacing([(1.0, 1.0), (1.0, 1.0, 1.0)]) is None
    assert [agreed_orientation(each) for each in (["PL"], ["PL", "PR"], ["PL", ""], [""], [])] == [
        "PL",
        "",
        "",
        "",
        "",
    ]


def test_a_site_states_the_geometry_of_all_its_images_or_none() -> None:
    data = DataSection(image_size=(16, 16))
    alike = [entry((8, 8), (2.0, 2.0), "PL"), entry((16, 16), (1.005, 1.005), "PL")]
    assert site_geometry(alike, data) == ((1.002, 1.002), "PL")
    assert site_geometry([*alike, entry((8, 8), (4.0, 4.0), "PR")], data) == (None, "")
    assert site_geometry([*alike, entry()], data) == (None, "")


def grid(spacing: Any = (1.0, 1.0), orientation: str = "PL", size: tuple[int, int] = (16, 16)) -> ImageSpec:
    return ImageSpec(channels=1, size=size, spacing=spacing, orientation=orientation)


def test_sites_that_agree_make_one_grid() -> None:
    data = DataSection(image_size=(16, 16))
    joined, findings = join_grids({"a": grid(), "b": grid((1.004, 1.004))}, data)
    assert (joined, findings) == (grid((1.002, 1.002)), [])
    joined, findings = join_grids({"a": grid((1.0, 1.0), "PL"), "b": grid((1.2, 1.2), "PR")}, data)
    assert joined == grid(None, "")
    spacing, orientation = findings
    assert "(in mm: a 1 x 1, b 1.2 x 1.2)" in spacing.sentence
    assert "left and right of the patient must not be read from it (a PL, b PR)" in orientation.sentence
    joined, findings = join_grids({"a": grid(), "b": None}, data)
    assert joined == grid(None, "")
    assert [finding.kind for finding in findings] == ["spacing_unknown", "orientation_unknown"]
    assert "b unknown" in findings[1].sentence


def test_a_site_that_speaks_of_other_images_says_nothing() -> None:
    data = DataSection(image_size=(16, 16))
    for other in (
        grid(size=(16, 24)),
        ImageSpec(channels=3, size=(16, 16)),
        ImageSpec(channels=1, size=(2, 16, 16)),
    ):
        assert join_grids({"a": grid(), "b": other}, data) == join_grids({"a": grid(), "b": None}, data)


def study(**data: Any) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "test"},
            "aggregation": {"secure": False},
            "data": {"image_size": (16, 16), **data},
        }
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_bids_volumes_reach_the_site_with_their_geometry(
    bids_folder: Path, tmp_path: Path, axis: int
) -> None:
    asked = study(modality="T1w", labels=("image",), slices={"axis": axis, "lower": 0.5, "upper": 0.5})
    prepared = prepare_sites(asked, bids_folder, tmp_path / "data", tmp_path / "cache")
    # 6 x 8 x 11 voxels of 2 x 2 x 3 mm, the longest side fills 16 pixels.
    spacing = {0: (33 / 16, 16 / 8), 1: (33 / 16, 12 / 6), 2: (1.0, 1.0)}[axis]
    orientation = {0: "IA", 1: "IR", 2: "PR"}[axis]
    for site in prepared.sites:
        assert site.grid.orientation == orientation
        assert site.grid.spacing == pytest.approx(spacing, rel=1e-3)
    assert not {"mixed_spacing", "mixed_orientation"} & {finding.kind for finding in prepared.findings}


def test_dicom_slices_reach_the_site_with_their_geometry(tmp_path: Path) -> None:
    write_phantom(tmp_path / "p", Phantom(sites=1, patients=4), 1, (32, 32))
    asked = study(modality="T1w")
    prepared = prepare_sites(asked, tmp_path / "p", tmp_path / "data", tmp_path / "cache")
    assert prepared.sites[0].grid == grid((220 / 16, 220 / 16), "PR")
    path = next((tmp_path / "p").rglob("T1w-*.dcm"))
    dataset = pydicom.dcmread(path)
    del dataset.ImageOrientationPatient
    dataset.PixelSpacing = ["9", "9"]
    dataset.save_as(path)
    prepared = prepare_sites(asked, tmp_path / "p", tmp_path / "data", tmp_path / "cache")
    assert prepared.sites[0].grid == grid(None, "")
    findings = {finding.kind: finding.sentence for finding in prepared.findings}
    assert "1 site has images of different or unknown orientation" in findings["mixed_orientation"]
    assert "different or unknown spacing" in findings["mixed_spacing"]


def test_pictures_have_no_geometry(png_folder: Path, tmp_path: Path) -> None:
    index = build_index(png_folder, DataSection())
    assert {(each.spacing, each.orientation) for each in index.entries} == {(None, "")}
    prepared = prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "cache")
    assert prepared.sites[0].grid == grid(None, "")
    assert not {"mixed_spacing", "mixed_orientation"} & {finding.kind for finding in prepared.findings}


@pytest.mark.parametrize("size", [(4, 5), (3, 4, 5)])
def test_a_site_of_any_size_reads_back_equal(tmp_path: Path, size: tuple[int, ...]) -> None:
    spacing = (2.5, 1.5, 0.5)[: len(size)]
    data = SiteData(
        site="north",
        classes=("none", "lesion"),
        images=torch.rand(6, 1, *size).half(),
        labels=torch.arange(6) % 2,
        patients=torch.arange(6) // 2,
        parts=torch.tensor([0, 0, 1, 1, 2, 2]),
        masks=(torch.rand(6, 1, *size) > 0.5).byte(),
        masked=torch.arange(6) > 1,
        spacing=spacing,
        orientation="SPL"[-len(size) :],
    )
    write_site(tmp_path / "site.safetensors", data)
    read = read_site(tmp_path / "site.safetensors")
    assert (
        read.grid
        == data.grid
        == ImageSpec(channels=1, size=size, spacing=spacing, orientation="SPL"[-len(size) :])
    )
    assert torch.equal(read.images, data.images)
    assert read.masks is not None
    assert torch.equal(read.masks, data.masks)
    assert read.masked is not None
    assert torch.equal(read.masked, data.masked)
    train = read.part(Part.TRAIN)
    assert (train.n_images, train.n_patients, train.grid) == (2, 1, data.grid)


def test_a_decoded_site_of_volumes_becomes_tensors() -> None:
    """Nothing between the decoder and the families counts the axes."""
    decoded = DecodedSite(
        images=np.zeros((1, 1, 3, 16, 16), np.float16),
        masks=None,
        marks=np.zeros(1, np.uint8),
        entries=np.zeros(1, np.int64),
        above=np.zeros(1, np.float32),
        below=np.zeros(1, np.float32),
        span=np.zeros(1, np.float32),
        fingerprints=Fingerprints.empty(1),
    )
    site = site_data("s", [entry()], decoded, {"p": Part.TRAIN}, DataSection(labels=("none",)), Path())
    assert site.grid.size == (3, 16, 16)
