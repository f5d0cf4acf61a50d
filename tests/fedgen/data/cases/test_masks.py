"""Masks: what their values mean, and that they lie on their images or are refused, never mirrored."""

from __future__ import annotations

import csv
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from fedgen.data.build import build_index
from fedgen.data.decode import DecodedSite, decode_site
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.stored_mask import StoredMask
from fedgen.data.load import decoding_findings
from fedgen.data.masks.labels import MaskMark, class_labels
from fedgen.data.masks.read import read_masks
from fedgen.errors import DataError
from fedgen.study.data import DataSection

PRESENT = MaskMark.PRESENT


def section(**keys: Any) -> DataSection:
    return DataSection.model_validate({"labels": ["any"], "columns": {"mask": "mask"}, **keys})


def listed(folder: Path, *pairs: tuple[str, str]) -> Path:
    """A table of (image, mask) of different patients."""
    with (folder / "metadata.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "mask", "patient", "site", "label"])
        writer.writerows(
            [image, mask, f"p{number}", "north", "any"] for number, (image, mask) in enumerate(pairs)
        )
    return folder


def picture(folder: Path, size: tuple[int, int] = (48, 64)) -> str:
    Image.fromarray(np.arange(size[0] * size[1]).reshape(size).astype(np.uint8)).save(folder / "a.png")
    return "a.png"


def marked(
    folder: Path, mask: Image.Image, name: str = "m.png", **options: Any
) -> tuple[np.ndarray, MaskMark]:
    """What is read of a mask of `picture`."""
    mask.save(folder / name, **options)
    (entry,) = build_index(listed(folder, (picture(folder), name)), section()).entries
    labels, mark = read_masks(folder, entry)
    return labels[0], mark


def disc(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return (y - 20) ** 2 + (x - 30) ** 2 < 150


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize(
    ("name", "options"), [("m.jpg", {}), ("m.webp", {}), ("m.tif", {"compression": "jpeg"})]
)
def test_what_compression_rings_is_cut_at_half(
    tmp_path: Path, name: str, options: dict[str, str], quality: int
) -> None:
    labels, mark = marked(
        tmp_path, Image.fromarray(disc().astype(np.uint8) * 255), name, quality=quality, **options
    )
    assert (labels != disc()).mean() < 0.01
    assert mark == PRESENT | MaskMark.HALVED


def test_numbers_of_classes_in_a_jpeg_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="in a format that changes values"):
        marked(tmp_path, Image.fromarray(disc().astype(np.uint8) * 9), "m.jpg", quality=95)


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P"])
def test_black_and_white_is_outside_and_inside(tmp_path: Path, white: int, mode: str) -> None:
    image = Image.fromarray(disc().astype(np.uint8) * white)
    if mode == "1" and white == 1:
        image = Image.fromarray(disc())
    labels, mark = marked(tmp_path, image if mode == "1" and white == 1 else image.convert(mode))
    np.testing.assert_array_equal(labels, disc())
    assert mark == PRESENT


def test_sixteen_bits_of_black_and_white(tmp_path: Path) -> None:
    labels, _ = marked(tmp_path, Image.fromarray(disc().astype(np.uint16) * 65535))
    np.testing.assert_array_equal(labels, disc())


def test_an_inverted_palette_is_not_believed(tmp_path: Path) -> None:
    """The place of a gray in its palette says nothing: white may come first."""
    image = Image.fromarray((~disc()).astype(np.uint8), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    labels, mark = marked(tmp_path, image)
    np.testing.assert_array_equal(labels, disc())
    assert mark == PRESENT


def test_classes_of_a_palette_are_its_places(tmp_path: Path) -> None:
    stored = disc().astype(np.uint8) + (np.arange(64) > 40).astype(np.uint8)[np.newaxis]
    image = Image.fromarray(stored, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    labels, mark = marked(tmp_path, image)
    np.testing.assert_array_equal(labels, stored)
    assert mark == PRESENT | MaskMark.INDEXED
    image.putpalette([0, 128, 0, 128, 0, 0, 0, 0, 0])
    with pytest.raises(UnreadableError, match="whose first colour is not black"):
        marked(tmp_path, image)


def test_one_colour_on_black_is_a_mask_and_several_are_refused(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[disc(), 0] = 200
    labels, _ = marked(tmp_path, Image.fromarray(red))
    np.testing.assert_array_equal(labels, disc())
    red[0, 0] = (0, 255, 0)
    with pytest.raises(UnreadableError, match="of which nothing says the classes"):
        marked(tmp_path, Image.fromarray(red))


def test_soft_edges_are_cut_and_few_levels_are_ambiguous(tmp_path: Path) -> None:
    soft = np.asarray(
        Image.fromarray(disc().astype(np.uint8) * 255).resize((128, 96), Image.Resampling.BICUBIC)
    )
    soft = np.asarray(Image.fromarray(soft).resize((64, 48), Image.Resampling.BILINEAR))
    labels, mark = marked(tmp_path, Image.fromarray(soft))
    np.testing.assert_array_equal(labels, soft >= 128)
    assert mark == PRESENT | MaskMark.HALVED
    levels = np.zeros((48, 64), np.uint8)
    levels[10:20], levels[20:30] = 128, 255
    with pytest.raises(UnreadableError, match=r"the levels 0, 128, 255, which may be classes or soft edges"):
        marked(tmp_path, Image.fromarray(levels))


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_mask_stands_upright_as_its_own_exif_says(tmp_path: Path, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    labels, _ = marked(
        tmp_path, Image.fromarray(np.rot90(disc()).astype(np.uint8) * 255).convert(mode), exif=exif
    )
    np.testing.assert_array_equal(labels, disc())


def stored(values: Any, **how: Any) -> StoredMask:
    return StoredMask(np.array(values, np.float32).reshape(1, 1, -1), **how)


def test_probabilities_are_cut_at_a_half() -> None:
    labels, mark = class_labels(stored([0, 0.01, 0.49, 0.5, 0.9, 1]))
    assert labels.ravel().tolist() == [0, 0, 0, 1, 1, 1]
    assert mark == PRESENT | MaskMark.PROBABLE


def test_whole_numbers_are_classes() -> None:
    for values in ([0, 1], [0, 3], [0, 1, 2, 207], [0, 4.9999], [0, 0], [255, 3]):
        labels, mark = class_labels(stored(values))
        assert labels.ravel().tolist() == np.rint(values).astype(int).tolist()
        assert mark == PRESENT
    assert class_labels(stored([0, 255]))[0].ravel().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0, 1.37, 2], "values between its classes, such as 1.37"),
        ([-1, 0], "below zero"),
        ([0, np.nan], "NaN or infinite"),
        ([0, 2035], "up to 2035, of which at most 255 are kept"),
        (range(250), "250 different values"),
    ],
)
def test_what_has_no_one_meaning_is_refused(values: Any, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        class_labels(stored(values))


def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 200, (12, 16, 9)).astype(np.int16)


def affine(spacing: tuple[float, ...] = (1, 2, 3), origin: tuple[float, ...] = (-10, 20, 30)) -> np.ndarray:
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = origin
    return matrix


def save(path: Path, array: np.ndarray, matrix: np.ndarray) -> str:
    image = nib.Nifti1Image(array, matrix)
    image.set_sform(matrix, 1)
    image.set_qform(matrix, 1)
    nib.save(image, path)
    return path.name


def read(
    folder: Path, image: str, mask: str, unused_share: float = 0.1, **keys: Any
) -> tuple[np.ndarray, MaskMark]:
    data = section(slices={"lower": 0, "upper": 1, "every": 1, **keys}, unused_share=unused_share)
    (entry,) = build_index(listed(folder, (image, mask)), data).entries
    return read_masks(folder, entry)


@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR", "SAL"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_in_another_order_of_voxels_is_the_same_mask(tmp_path: Path, order: str, axis: int) -> None:
    classes = (volume() % 5).astype(np.uint8)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(order)
    )
    image = save(tmp_path / "a.nii", volume(), affine())
    mask = save(
        tmp_path / "m.nii",
        nib.orientations.apply_orientation(classes, turn),
        affine() @ nib.orientations.inv_ornt_aff(turn, classes.shape),
    )
    labels, mark = read(tmp_path, image, mask, axis=axis)
    np.testing.assert_array_equal(labels, np.rot90(np.moveaxis(classes, axis, 0), axes=(1, 2)))
    assert mark == PRESENT


def test_a_mask_on_another_grid_is_laid_on_the_image(tmp_path: Path) -> None:
    """Against scipy at the millimetres of every voxel."""
    classes = np.zeros((30, 31, 20), np.uint8)
    classes[8:20, 9:25, 5:14], classes[10:14, 12:18, 6:9] = 1, 2
    turned = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.2, 0.1, -0.15) @ np.diag([0.8, 1.5, 1.7]), (-14, 14, 26)
    )
    image, mask = save(tmp_path / "a.nii", volume(), affine()), save(tmp_path / "m.nii", classes, turned)
    labels, mark = read(tmp_path, image, mask)
    voxels = np.stack(np.meshgrid(*map(np.arange, volume().shape), indexing="ij"))
    places = nib.affines.apply_affine(np.linalg.inv(turned) @ affine(), np.moveaxis(voxels, 0, -1))
    inside = ((places > -0.5) & (places < np.array(classes.shape) - 0.5)).all(axis=-1)
    right = map_coordinates(classes, np.moveaxis(places, -1, 0), order=0, mode="nearest") * inside
    right = np.rot90(np.moveaxis(right, 2, 0), axes=(1, 2))
    # Half-way places may be rounded either way.
    assert (labels != right).mean() < 1e-3
    assert set(np.unique(labels)) == {0, 1, 2}
    assert MaskMark.RESAMPLED in mark
    some, _ = read(tmp_path, image, mask, lower=0.25, upper=0.75, every=2)
    np.testing.assert_array_equal(some, labels[2:7:2])


def test_a_volume_that_is_one_image_has_a_mask_of_three_sides(tmp_path: Path) -> None:
    classes = (volume() % 4).astype(np.uint8)
    image, mask = (
        save(tmp_path / "a.nii", volume(), affine((1, 1, 1))),
        save(tmp_path / "m.nii", classes, affine((1, 1, 1))),
    )
    site, _ = decoded(listed(tmp_path, (image, mask)), section(image_size=[36, 32, 48]))
    assert site.masks is not None
    assert site.masks.shape == (1, 1, 36, 32, 48)
    # 9 x 16 x 12 voxels become twice as many along each side, in the middle of the box.
    upright = np.rot90(np.moveaxis(classes, 2, 0), axes=(1, 2))
    inside = site.masks[0, 0, 9:27, :, 12:36]
    np.testing.assert_array_equal(inside[::2, ::2, ::2], upright)
    assert int(site.masks.sum()) == 8 * int(upright.sum())


def test_a_cropped_mask_is_told_and_one_elsewhere_refused(tmp_path: Path) -> None:
    image = save(tmp_path / "a.nii", volume(), affine())
    crop = np.ones((4, 5, 3), np.uint8)
    mask = save(tmp_path / "m.nii", crop, affine(origin=(-10 + 2, 20 + 2 * 3, 30 + 3 * 4)))
    labels, mark = read(tmp_path, image, mask)
    right = np.zeros(volume().shape, np.uint8)
    right[2:6, 3:8, 4:7] = 1
    np.testing.assert_array_equal(labels, np.rot90(np.moveaxis(right, 2, 0), axes=(1, 2)))
    assert mark == PRESENT | MaskMark.PARTIAL
    elsewhere = save(tmp_path / "m.nii", crop, affine(origin=(500, 20, 30)))
    with pytest.raises(UnreadableError, match=r"lies outside of its image a\.nii"):
        read(tmp_path, image, elsewhere)


@pytest.mark.parametrize("matrix", [np.eye(4), np.diag([-1.0, -1, 1, 1]), np.diag([1.0, 2, 3, 1])])
def test_an_affine_that_was_never_stated_is_not_believed(tmp_path: Path, matrix: np.ndarray) -> None:
    """Image stored LPS, its mask with the affine of a tool that knows none: the mask would lie on it, mirrored."""
    spacing = np.abs(np.diag(matrix)[:3])
    lps = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    lps[:3, 3] = (11 * spacing[0], 15 * spacing[1], 0)
    image = save(tmp_path / "a.nii", volume(), lps)
    mask = save(tmp_path / "m.nii", (volume() % 3).astype(np.uint8), matrix)
    with pytest.raises(UnreadableError, match="has the affine that tools write which know none"):
        read(tmp_path, image, mask)
    # Where the image has the very same affine, there is nothing to doubt.
    image = save(tmp_path / "a.nii", volume(), matrix)
    assert read(tmp_path, image, mask)[1] == PRESENT


def unplaced(path: Path, array: np.ndarray) -> str:
    image = nib.Nifti1Image(array, None)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, path)
    return path.name


def test_without_any_affine_a_mask_fits_voxel_by_voxel_or_is_refused(tmp_path: Path) -> None:
    classes = (volume() % 3).astype(np.uint8)
    image, mask = unplaced(tmp_path / "a.nii", volume()), unplaced(tmp_path / "m.nii", classes)
    labels, mark = read(tmp_path, image, mask)
    # Method 1 of the standard as nibabel guesses it: x grows to the left.
    right = classes[::-1]
    np.testing.assert_array_equal(labels, np.rot90(np.moveaxis(right, 2, 0), axes=(1, 2)))
    assert mark == PRESENT
    with pytest.raises(UnreadableError, match="the mask does not say how it lies in the patient"):
        read(tmp_path, save(tmp_path / "a.nii", volume(), affine()), mask)
    with pytest.raises(UnreadableError, match=r"is 8 x 16 x 12, but its image a\.nii is"):
        read(tmp_path, unplaced(tmp_path / "a.nii", volume()), unplaced(tmp_path / "m.nii", classes[..., 1:]))


def test_a_mask_of_several_volumes_is_refused(tmp_path: Path) -> None:
    image = save(tmp_path / "a.nii", volume(), affine())
    mask = save(tmp_path / "m.nii", np.zeros((12, 16, 9, 3), np.uint8), affine())
    with pytest.raises(UnreadableError, match="holds 3 volumes, but a mask is one"):
        read(tmp_path, image, mask)


def decoded(folder: Path, data: DataSection) -> tuple[DecodedSite, dict[str, str]]:
    index = build_index(folder, data)
    site = decode_site(folder, index.entries, data)
    return site, {f.kind: f.sentence for f in decoding_findings(index, {"north": site}, data)}


def test_classes_are_kept_and_told(tmp_path: Path) -> None:
    name = picture(tmp_path, (16, 16))
    classes = (np.arange(256).reshape(16, 16) // 32).astype(np.uint8)
    Image.fromarray(classes).save(tmp_path / "m.png")
    Image.fromarray((np.arange(256).reshape(16, 16) * 3).astype(np.uint8)).save(tmp_path / "b.png")
    site, told = decoded(listed(tmp_path, (name, "m.png"), ("b.png", "")), section(image_size=(16, 16)))
    assert site.masks is not None
    np.testing.assert_array_equal(site.masks[0, 0], classes)
    assert not site.masks[1].any()
    assert site.marks.tolist() == [1, 0]
    assert told["mask_classes"] == "The masks hold 7 classes: 1, 2, 3, 4, 5, 6, 7."
    assert told["missing_masks"] == "1 image has no mask (north): only the masks of the others are used."


def test_a_mask_that_cannot_be_used_names_itself(tmp_path: Path) -> None:
    name = picture(tmp_path, (16, 16))
    Image.fromarray(np.zeros((16, 15), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"^m\.png is 1 x 16 x 15, but its image a\.png is 16 x 16"):
        decoded(listed(tmp_path, (name, "m.png")), section(image_size=(16, 16)))


@pytest.mark.parametrize("bits", [2, 4])
def test_numbers_of_classes_in_few_bits_are_as_they_are_stored(tmp_path: Path, bits: int) -> None:
    """Pillow spreads them to 255, so that class 1 of 4 bits would be class 17."""
    height, width = 48, 64
    classes = np.random.default_rng(0).integers(0, 4, (height, width)).astype(np.uint8)
    digits = (classes[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
    for values in (classes, np.where(classes > 1, 2**bits - 1, 0)):
        digits = (values[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(digits.reshape(height, -1), axis=1)
        (tmp_path / "m.png").write_bytes(gray_png(width, height, bits, rows))
        (entry,) = build_index(listed(tmp_path, (picture(tmp_path), "m.png")), section()).entries
        labels, mark = read_masks(tmp_path, entry)
        # Black and white alone are outside and inside, in however many bits.
        np.testing.assert_array_equal(labels[0], values if values is classes else classes > 1)
        assert mark == PRESENT


def gray_png(width: int, height: int, bits: int, rows: np.ndarray) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
