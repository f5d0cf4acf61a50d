"""Volumes in two files, a header and its pixels: one image or one mask each, and neither half an unknown file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from fedgen.data.build import build_index
from fedgen.data.cache.decoded_sites import decode_sites
from fedgen.data.inspect.look import inspect_data
from fedgen.data.masks.read import read_masks
from fedgen.study.data import DataSection

SHAPE = (8, 10, 6)
AFFINE = np.array([[-1.0, 0, 0, 5], [0, 1.5, 0, -7], [0, 0, 2, 3], [0, 0, 0, 1]])
KINDS = ["pair", "mhd", "nhdr"]


def marks(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(SHAPE) < 0.3).astype(np.uint8)


def write(path: Path, values: np.ndarray, kind: str) -> str:
    """A volume in two files; the name of its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pair":
        nib.save(nib.Nifti1Pair(values, AFFINE), path.with_suffix(".img"))
        return f"{path.name}.hdr"
    image = SimpleITK.GetImageFromArray(values.T)
    image.SetSpacing((1.0, 1.5, 2.0))
    # ITK's axes grow to the left and to posterior.
    image.SetOrigin((-5.0, 7.0, 3.0))
    image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))
    SimpleITK.WriteImage(image, str(path.with_suffix(f".{kind}")))
    return f"{path.name}.{kind}"


def volume(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, SHAPE).astype(np.int16)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[str], Path]:
    """listed(kind) -> a folder of four images with a mask each, in two files, and their table."""

    def make(kind: str) -> Path:
        folder = tmp_path / "listed"
        lines = ["image,mask,patient,site,label"]
        for number in range(4):
            image = write(folder / "im" / f"p{number}", volume(number), kind)
            mask = write(folder / "ms" / f"p{number}", marks(number), kind)
            lines.append(f"im/{image},ms/{mask},p{number},north,any")
        (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
        return folder

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_a_table_are_seen_once_and_used(kind: str, listed: Callable[[str], Path]) -> None:
    folder = listed(kind)
    seen = inspect_data(folder)
    assert seen.masks == {"mask": 4}
    assert seen.left_out == {"named by the table's column mask, which the study does not use": 4}
    assert set(seen.beside) == {"tables and texts"}
    assert seen.unreadable == ()
    data = DataSection.model_validate({"labels": ["any"], "columns": {"mask": "mask"}})
    index = build_index(folder, data)
    assert [finding.kind for finding in index.findings] == []
    for number, entry in enumerate(index.entries):
        labels, _ = read_masks(folder, entry)
        taken = entry.slices
        assert taken is not None
        right = np.moveaxis(marks(number), 2, 0)[taken.start : taken.stop : taken.step]
        # Upright, and the first axis from left to right.
        np.testing.assert_array_equal(labels, np.rot90(right[:, ::-1], axes=(1, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_whose_pixels_changed_is_decoded_anew(
    kind: str, listed: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = listed(kind)
    data = DataSection.model_validate({"labels": ["any"], "columns": {"mask": "mask"}})

    def total() -> int:
        site = decode_sites(folder, build_index(folder, data), data, tmp_path / "cache")["north"]
        assert site.masks is not None
        return int(site.masks.sum())

    before = total()
    assert before > 0
    headers = {
        path: path.read_bytes()
        for path in (folder / "ms").iterdir()
        if path.suffix in (".hdr", ".mhd", ".nhdr")
    }
    for number in range(4):
        write(folder / "ms" / f"p{number}", np.zeros(SHAPE, np.uint8), kind)
    if kind != "nhdr":
        # The header alone would not tell.
        assert {path: path.read_bytes() for path in headers} == headers
    assert total() == 0


def test_label_images_of_bids_in_pairs_are_masks(tmp_path: Path) -> None:
    for number in range(1, 5):
        place = tmp_path / f"sub-{number}" / "anat"
        write(place / f"sub-{number}_T1w", volume(number), "pair")
        write(place / f"sub-{number}_dseg", marks(number), "pair")
    # One of several is in one file: the same contrast all the same.
    nib.save(nib.Nifti1Image(volume(5), AFFINE), tmp_path / "sub-4" / "anat" / "sub-4_T1w.nii.gz")
    (tmp_path / "sub-4" / "anat" / "sub-4_T1w.hdr").unlink()
    (tmp_path / "sub-4" / "anat" / "sub-4_T1w.img").unlink()
    seen = inspect_data(tmp_path)
    assert seen.masks == {"dseg": 4}
    assert seen.left_out == {"label image": 4}
    assert [each.modality for each in seen.series] == ["T1w"]
    assert seen.beside == {}
    data = DataSection.model_validate({"labels": ["any"], "modality": "T1w", "columns": {"mask": "dseg"}})
    index = build_index(tmp_path, data)
    assert len(index.patients) == 4
    assert [entry.mask for entry in index.entries] == [f"sub-{n}/anat/sub-{n}_dseg.hdr" for n in range(1, 5)]


def test_upper_case_endings_of_bids_name_the_same_contrast(tmp_path: Path) -> None:
    place = tmp_path / "sub-1" / "anat"
    place.mkdir(parents=True)
    nib.save(nib.Nifti1Image(volume(1), AFFINE), place / "sub-1_T1w.nii")
    (place / "sub-1_T1w.nii").rename(place / "sub-1_T1w.NII")
    (only,) = build_index(tmp_path, DataSection(labels=("any",))).entries
    assert (only.modality, only.series) == ("T1w", "T1w")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_masks_counts_each_once(kind: str, tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "images" / f"p{number}", volume(number), kind)
        write(tmp_path / "masks" / f"p{number}", marks(number), kind)
    seen = inspect_data(tmp_path)
    assert seen.images > 0
    assert sum(seen.left_out.values()) == 4
    assert seen.masks == {"masks/{name}": 4}
    assert seen.beside == {}


def test_pixels_without_their_header_are_told(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a", volume(0), "pair")
    write(tmp_path / "images" / "b", volume(1), "pair")
    (tmp_path / "images" / "b.hdr").unlink()
    shutil.copy(tmp_path / "images" / "a.img", tmp_path / "images" / "c.raw")
    seen = inspect_data(tmp_path)
    assert seen.left_out == {
        "image whose ending .img nothing reads here": 1,
        "image whose ending .raw nothing reads here": 1,
    }
