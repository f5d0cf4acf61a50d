"""What a user does with a release: the loader, and every line of code of the page about it."""

from __future__ import annotations

import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import fedgen
from fedgen.data.build import build_index
from fedgen.data.decode import decode_site
from fedgen.data.geometry import site_geometry
from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.study.data import DataSection
from fedgen.synthesis.dicom_tags import Provenance
from fedgen.synthesis.samples import write_samples
from fedgen.task.image_spec import ImageSpec

PAGE = Path(__file__).parents[3] / "docs/how-to/use-a-release.md"
GRID = ImageSpec(channels=1, size=(16, 24), spacing=(1.5, 1.25), orientation="IL")
WINDOW = (-1000.0, 400.0)
FORMATS = ("png", "nifti", "dicom")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A run whose release has six images of two classes, with masks, in every format."""
    images = (torch.rand(6, 1, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1).half().float()
    made = LabelledImages(images, torch.arange(6) % 2, (images > 0.5).to(torch.uint8))
    about = Provenance("ab", "No patient is in them.", "CR", datetime(2026, 1, 2, tzinfo=UTC))
    write_samples(tmp_path / "samples", made, ("yes", "no"), FORMATS, GRID, about=about, window=WINDOW)
    return tmp_path


def images_of(release: Path) -> torch.Tensor:
    from fedgen.synthesis.samples import read_samples

    return read_samples(release / "samples").images


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("classes", [("lung",), ("one", "two", "three")])
def test_pairs_come_back_with_the_masks_classes(form: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(1)
    images = (torch.rand(3, 1, 16, 24, generator=rng) * 2 - 1).half().float()
    masks = torch.randint(len(classes) + 1, (3, 1, 16, 24), generator=rng).to(torch.uint8)
    masks[1] = 0
    about = Provenance("ab", "No patient is in them.", "CR", datetime(2026, 1, 2, tzinfo=UTC))
    made = LabelledImages(images, torch.zeros(3, dtype=torch.int64), masks)
    folder = tmp_path / "samples"
    write_samples(folder, made, ("any",), (form,), GRID, about=about, window=WINDOW, mask_classes=classes)
    release = fedgen.load_release(tmp_path, form)
    pairs = release.pairs()
    assert len(pairs) == 3
    for number in range(3):
        image, mask, label, geometry = pairs[number]
        alone = release[number]
        assert torch.equal(image, alone.image) and label == alone.label == 0
        assert geometry.orientation == alone.geometry.orientation
        expected = masks[number] if form != "nifti" else masks[number].flip(-1)
        assert mask.dtype is torch.uint8 and torch.equal(mask, expected)
    batch = next(iter(DataLoader(pairs, batch_size=3)))
    assert batch.mask.shape == (3, 1, 16, 24)
    doubled = release.pairs(lambda image, mask: (image * 2, mask * 0))
    assert torch.equal(doubled[0].image, 2 * pairs[0].image) and not bool(doubled[0].mask.any())


def test_a_release_without_masks_has_no_pairs(tmp_path: Path) -> None:
    made = LabelledImages(torch.zeros(1, 1, 16, 24), torch.zeros(1, dtype=torch.int64))
    about = Provenance("ab", "No patient is in them.", "CR", datetime(2026, 1, 2, tzinfo=UTC))
    write_samples(tmp_path / "samples", made, ("any",), ("png",), GRID, about=about, window=WINDOW)
    with pytest.raises(DataError, match="has no masks"):
        fedgen.load_release(tmp_path).pairs()


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_gives_values_label_and_geometry_back(form: str, release: Path) -> None:
    loaded = fedgen.load_release(release, form)
    assert len(loaded) == 6
    assert loaded.classes == ("no", "yes")
    low, high = (0.0, 255.0) if form == "png" else WINDOW
    for number in range(6):
        image, label, geometry = loaded[number]
        expected = low + (images_of(release)[number] + 1) / 2 * (high - low)
        if form == "nifti":
            # A NIfTI is read as a slice of the patient, columns to the right.
            assert geometry.orientation == "IR"
            expected = expected.flip(-1)
        torch.testing.assert_close(image, expected, atol=0.51 if form == "png" else 0.02, rtol=0)
        assert loaded.classes[label] == ("yes", "no")[number % 2]
        if form != "png":
            assert geometry.spacing.tolist() == pytest.approx([1.5, 1.25])


def test_the_richest_format_is_taken_and_both_folders_are_known(release: Path) -> None:
    assert fedgen.load_release(str(release)).form == "dicom"
    assert fedgen.load_release(release / "samples").files == fedgen.load_release(release).files


def test_batches_and_transforms(release: Path) -> None:
    loaded = fedgen.load_release(release, transform=lambda image: image / 100)
    image, label, geometry = next(iter(DataLoader(loaded, batch_size=6)))
    assert image.shape == (6, 1, 16, 24)
    assert float(image.abs().max()) <= 10
    assert label.tolist() == list(loaded.labels)
    assert geometry.spacing.shape == (6, 2)


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_a_volume_has_three_axes(form: str, tmp_path: Path) -> None:
    grid = ImageSpec(channels=1, size=(5, 16, 24), spacing=(3.0, 1.0, 2.0), orientation="SPR")
    images = (torch.rand(2, *grid.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1).half().float()
    about = Provenance("ab", "", "CT", datetime(2026, 1, 2, tzinfo=UTC))
    write_samples(tmp_path, LabelledImages(images, torch.zeros(2)), ("a",), (form,), grid, about=about)
    image, _, geometry = fedgen.load_release(tmp_path)[1]
    torch.testing.assert_close(image / 127.5 - 1, images[1], atol=1e-3, rtol=0)
    assert geometry.orientation == "SPR"
    assert geometry.spacing.tolist() == pytest.approx([3.0, 1.0, 2.0])


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_volumes_and_their_masks_are_data_for_another_study(form: str, tmp_path: Path) -> None:
    grid = ImageSpec(channels=1, size=(16, 20, 24), spacing=(1.5, 1.5, 1.5), orientation="SPR")
    images = (torch.rand(2, *grid.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1).half().float()
    made = LabelledImages(images, torch.arange(2), (images > 0.5).to(torch.uint8))
    about = Provenance("ab", "", "MR", datetime(2026, 1, 2, tzinfo=UTC))
    write_samples(tmp_path, made, ("none", "lesion"), (form,), grid, about=about)
    data = DataSection.model_validate({"image_size": grid.size, "columns": {"mask": "mask"}})
    index = build_index(tmp_path, data)
    assert site_geometry(index.entries, data) == (grid.spacing, grid.orientation)
    decoded = decode_site(tmp_path, index.entries, data)
    order = [int(entry.patient.removeprefix("synthetic-")) for entry in index.entries]
    np.testing.assert_allclose(decoded.images, images.numpy()[order], atol=1e-3)
    assert decoded.masks is not None
    assert made.masks is not None
    np.testing.assert_array_equal(decoded.masks > 0, made.masks.numpy()[order] > 0)


def test_what_is_no_release_is_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is neither a folder nor a zip archive: name a release"):
        fedgen.load_release(tmp_path / "nothing")
    with pytest.raises(DataError, match="name one of png, nifti, dicom"):
        fedgen.load_release(release, "jpeg")
    table = release / "samples" / "labels.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if ".png" not in line))
    with pytest.raises(DataError, match="lists no file of the format 'png': it has dicom, nifti"):
        fedgen.load_release(release, "png")
    (release / "samples" / "yes_0001.dcm").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"yes_0001\.dcm is not a DICOM file"):
        fedgen.load_release(release)[0]


def test_import_fedgen_alone_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import fedgen, sys; sys.exit('torch' in sys.modules or 'pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_code_of_the_page_runs(release: Path) -> None:
    known: dict[str, Any] = {"RELEASE": str(release)}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        if "torchvision" in block and importlib.util.find_spec("torchvision") is None:
            continue
        exec(compile(block, str(PAGE), "exec"), known)
    raw = release / "nnUNet_raw" / "Dataset001_Synthetic"
    assert len(list((raw / "imagesTr").iterdir())) == len(list((raw / "labelsTr").iterdir())) == 6
    assert sorted(folder.name for folder in (release / "folders").iterdir()) == ["no", "yes"]
    assert len(list((release / "folders").rglob("*.png"))) == 6
    assert set(known["dataset"][0]["image"].flatten().tolist()) >= {0.0, 1.0}
