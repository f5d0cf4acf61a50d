import csv
import gzip
import io
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.synthesis.dicom_tags import Provenance
from fedgen.synthesis.file_stems import file_stems
from fedgen.synthesis.formats import nifti_bytes, png_bytes
from fedgen.synthesis.grid import pick, sample_grid
from fedgen.synthesis.samples import read_samples, write_samples
from fedgen.task.image_spec import ImageSpec

ABOUT = Provenance("ab", "No patient is in them.", None, datetime(2026, 1, 2, tzinfo=UTC))
CLASSES = ("COVID-19", "../no finding")


def synthetic(n: int = 5, channels: int = 1) -> LabelledImages:
    rng = torch.Generator().manual_seed(n)
    images = (torch.rand(n, channels, 16, 24, generator=rng) * 2 - 1).half().float()
    return LabelledImages(images=images, labels=torch.arange(n) % 2)


def spec(spacing: tuple[float, float] | None = None, orientation: str = "", channels: int = 1) -> ImageSpec:
    return ImageSpec(channels=channels, size=(16, 24), spacing=spacing, orientation=orientation)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_gives_every_pixel_back(channels: int) -> None:
    stored = torch.randint(0, 256, (channels, 16, 24), generator=torch.Generator().manual_seed(0))
    picture = Image.open(io.BytesIO(png_bytes(stored / 127.5 - 1)))
    assert picture.mode == ("L" if channels == 1 else "RGB")
    assert np.array_equal(np.asarray(picture).reshape(16, 24, channels), stored.permute(1, 2, 0).numpy())
    assert picture.text["Software"].startswith("fedgen ")  # type: ignore[attr-defined]
    assert picture.text["Software"].endswith("; synthetic")  # type: ignore[attr-defined]


def test_a_png_clamps_what_lies_outside() -> None:
    image = torch.tensor([[[-7.0, 7.0]]])
    assert np.asarray(Image.open(io.BytesIO(png_bytes(image)))).tolist() == [[0, 255]]


def test_a_nifti_gives_stored_values_back_in_ras(tmp_path: Path) -> None:
    image = synthetic(1).images[0]
    path = tmp_path / "a.nii.gz"
    path.write_bytes(nifti_bytes(image, spec((0.7, 0.5), "PR"), (-1000.0, 400.0)))
    volume = nib.load(path)
    assert volume.shape == (24, 16, 1)
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    assert volume.header.get_zooms() == pytest.approx((0.5, 0.7, 1.0))
    assert volume.header.get_xyzt_units()[0] == "mm"
    assert volume.header["descrip"].item().decode() == "synthetic, fedgen"
    read = volume.get_fdata()
    expected = -1000 + (image[0].numpy() + 1) / 2 * 1400
    for row, column in ((0, 0), (15, 23), (3, 20), (9, 1)):
        assert read[column, 15 - row, 0] == pytest.approx(expected[row, column], abs=1e-3)


def test_an_rgb_nifti_keeps_its_colours() -> None:
    image = synthetic(1, channels=3).images[0]
    file = nib.Nifti1Image.from_bytes(
        gzip.decompress(nifti_bytes(image, spec(None, "PR", channels=3), (0.0, 255.0)))
    )
    read = np.asarray(file.dataobj)
    assert read.shape == (24, 16, 1)
    expected = np.asarray(Image.open(io.BytesIO(png_bytes(image))))
    assert [read[name][0, 15, 0] for name in "RGB"] == expected[0, 0].tolist()
    assert [read[name][21, 5, 0] for name in "RGB"] == expected[10, 21].tolist()


def test_the_folder_lists_its_files_and_gives_the_tensors_back_exactly(tmp_path: Path) -> None:
    made = synthetic()
    files = write_samples(tmp_path, made, CLASSES, ("png", "nifti"), spec((1.0, 1.0), "PL"), about=ABOUT)
    assert {path.name for path in files} == {
        f"{stem}_{number:04d}{end}"
        for stem, count in (("COVID-19", 3), ("no-finding", 2))
        for number in range(1, count + 1)
        for end in (".png", ".nii.gz")
    }
    assert all(path.is_file() for path in files)
    with (tmp_path / "labels.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 10
    assert {(row["label"], row["index"]) for row in rows if row["image"].startswith("no-finding_0002")} == {
        (CLASSES[1], "3")
    }
    # a folder of images like any other: each of them is one of its own, of no hospital
    assert {(row["patient"], row["site"]) for row in rows} == {
        (f"synthetic-{i}", "synthetic") for i in range(5)
    }
    read = read_samples(tmp_path)
    assert torch.equal(read.images, made.images)
    assert read.images.dtype == torch.float32
    assert torch.equal(read.labels, made.labels)


def test_a_smaller_set_leaves_nothing_of_the_larger_one(tmp_path: Path) -> None:
    write_samples(tmp_path, synthetic(6), CLASSES, ("png", "nifti"), spec(), about=ABOUT)
    write_samples(tmp_path, synthetic(2), CLASSES, ("png",), spec(), about=ABOUT)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"COVID-19_0001.png", "no-finding_0001.png", "labels.csv", "synthetic.safetensors"}


def test_class_names_become_different_safe_file_names() -> None:
    stems = file_stems(("a/b", "a b", "A-b", "..", "日本", "x" * 300))
    assert len({stem.lower() for stem in stems}) == 6
    assert all(stem and "/" not in stem and not stem.startswith(".") and len(stem) < 70 for stem in stems)


def test_a_full_disk_is_one_sentence_and_leaves_no_whole_set(tmp_path: Path, disk_full) -> None:
    write_samples(tmp_path, synthetic(2), CLASSES, ("png",), spec(), about=ABOUT)
    with pytest.raises(DataError, match="disk is full"), disk_full():
        write_samples(tmp_path, synthetic(4), CLASSES, ("png",), spec(), about=ABOUT)
    with pytest.raises(DataError, match="run the stage synthesize"):
        read_samples(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not tensors at all", None])
def test_damaged_or_missing_tensors_name_the_stage_to_run(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "synthetic.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="run the stage synthesize"):
        read_samples(tmp_path)


def test_tensors_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    write_samples(tmp_path, synthetic(), CLASSES, ("png",), spec(), about=ABOUT)
    path = tmp_path / "synthetic.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="damaged"):
        read_samples(tmp_path)


def test_a_grid_is_a_png_even_with_an_empty_class_and_odd_names() -> None:
    made = LabelledImages(images=synthetic(3).images, labels=torch.zeros(3, dtype=torch.int64))
    picture = Image.open(io.BytesIO(sample_grid(made.images, made.labels, ("$\\frac{$", "empty"), 2)))
    assert picture.format == "PNG"
    assert picture.width > picture.height > 100


def test_a_grid_shows_images_from_the_whole_set_and_always_the_same() -> None:
    images = torch.arange(100.0).view(100, 1, 1, 1)
    chosen = [image.item() for image in pick(images, torch.arange(100) % 2, 1, 4)]
    assert chosen[0] == 1
    assert chosen[-1] == 99
    assert len(set(chosen)) == 4
    assert all(value % 2 == 1 for value in chosen)
