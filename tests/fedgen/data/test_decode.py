"""Decoding: values, geometry, the cache, and files that must be refused."""

from __future__ import annotations

from collections.abc import Callable
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
from fedgen.data.decoders.dicom import DicomDecoder
from fedgen.data.decoders.nifti import NiftiDecoder
from fedgen.data.index import SliceRange
from fedgen.data.load import load_sites, patient_numbers
from fedgen.data.pixels import fitted_size, resize, window
from fedgen.data.site_data import Part
from fedgen.errors import DataError
from fedgen.study.data import DataSection, Intensity

ONE = {"labels": ("none",), "image_size": (16, 16)}


def decode(folder: Path, **options: object):
    data = DataSection.model_validate({**ONE, **options})
    index = build_index(folder, data)
    return decode_site(folder, index.entries, data)


def test_values_window_and_padding(one_png: Callable[..., Path]) -> None:
    array = np.full((16, 8), 255, np.uint8)
    array[:8] = 51
    site = decode(one_png(array))
    assert site.images.dtype == np.float16
    assert site.images.shape == (1, 1, 16, 16)
    image = site.images[0, 0].astype(float)
    # 16 x 8 fits without resampling; four columns on either side are padding at the lower bound.
    assert (image[:, :4] == -1).all()
    assert (image[:, 12:] == -1).all()
    np.testing.assert_allclose(image[:8, 4:12], 2 * 51 / 255 - 1, atol=1e-3)
    assert (image[8:, 4:12] == 1).all()


def test_window_clamps_and_is_linear() -> None:
    values = np.array([-50, 0, 25, 50, 200], np.float32)
    np.testing.assert_allclose(window(values, Intensity(lower=0, upper=50)), [-1, -1, 0, 1, 1])


def test_fitted_size_keeps_the_aspect_of_pixels_or_millimetres() -> None:
    assert fitted_size((100, 50), None, (64, 64)) == (64, 32)
    assert fitted_size((50, 100), (1.0, 1.0), (64, 64)) == (32, 64)
    # 50 rows of 2 mm are as long as 100 columns of 1 mm.
    assert fitted_size((50, 100), (2.0, 1.0), (64, 64)) == (64, 64)
    assert fitted_size((1, 1000), None, (64, 64)) == (1, 64)
    assert fitted_size((100, 100), None, (32, 64)) == (32, 32)


def test_resampling_is_antialiased() -> None:
    # Fine stripes must turn gray, not into coarser stripes.
    stripes = np.tile(np.array([0, 1], np.float32), (64, 32))[..., np.newaxis]
    small = resize(stripes, (16, 16))
    np.testing.assert_allclose(small, 0.5, atol=0.04)


def test_sixteen_bit_images_are_read_at_full_depth(one_png: Callable[..., Path]) -> None:
    ramp = np.linspace(0, 60000, 256).reshape(16, 16).astype(np.uint16)
    with pytest.raises(DataError, match=r"one.png has values up to 60000, .*: set data.intensity.upper"):
        decode(one_png(ramp))
    image = decode(one_png(ramp), intensity={"upper": 60000.0}).images[0, 0].astype(np.float64)
    np.testing.assert_allclose(image, ramp / 30000 - 1, atol=1e-3)


def test_clipping_a_little_is_normal_but_counted(one_png: Callable[..., Path]) -> None:
    array = np.zeros((16, 16), np.uint8)
    array[:5] = 200
    site = decode(one_png(array), intensity={"upper": 150.0})
    assert site.above[0] == pytest.approx(5 / 16)


def test_colour(one_png: Callable[..., Path]) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    same = np.stack([gray] * 3, axis=-1)
    np.testing.assert_array_equal(decode(one_png(same)).images, decode(one_png(gray)).images)
    different = same.copy()
    different[0, 0, 0] ^= 1
    with pytest.raises(DataError, match=r"is in colour but data.channels is 1"):
        decode(one_png(different))
    assert decode(one_png(different), channels=3).images.shape == (1, 3, 16, 16)
    with pytest.raises(DataError, match=r"is gray but data.channels is 3"):
        decode(one_png(gray), channels=3)


def test_palette_and_transparency(one_png: Callable[..., Path], tmp_path: Path) -> None:
    folder = one_png(np.zeros((16, 16), np.uint8))
    gray = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    Image.fromarray(gray).convert("P").save(folder / "one.png")
    np.testing.assert_allclose(decode(folder).images[0, 0], gray / 127.5 - 1, atol=1e-3)
    alpha = np.full((16, 16, 4), 255, np.uint8)
    Image.fromarray(alpha).save(folder / "one.png")
    assert (decode(folder).images == 1).all()
    alpha[3, 3, 3] = 10
    Image.fromarray(alpha).save(folder / "one.png")
    with pytest.raises(DataError, match="has transparent pixels"):
        decode(folder)


def test_damaged_pngs(one_png: Callable[..., Path]) -> None:
    folder = one_png(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8))
    whole = (folder / "one.png").read_bytes()
    (folder / "one.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^one.png cannot be decoded \(.*\): repair it"):
        decode(folder)
    (folder / "one.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"one.png cannot be decoded \(not an image of a known format\)"):
        decode(folder)


def test_nifti_slices_stand_upright(tmp_path: Path) -> None:
    volume = np.arange(4 * 6 * 5, dtype=np.float32).reshape(4, 6, 5)
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "ras.nii.gz")
    decoder = NiftiDecoder()
    assert decoder.header(tmp_path / "ras.nii.gz", 2).size == (6, 4)
    pixels = decoder.pixels(tmp_path / "ras.nii.gz", SliceRange(2, 1, 5, 2))
    assert pixels.shape == (2, 6, 4, 1)
    # The top row is the most anterior one, x runs from the patient's left to the right.
    np.testing.assert_array_equal(pixels[0, 0, :, 0], volume[:, 5, 1])
    np.testing.assert_array_equal(pixels[1, -1, :, 0], volume[:, 0, 3])
    # The same anatomy stored as LAS gives the same picture.
    nib.save(nib.Nifti1Image(volume[::-1], np.diag([-1.0, 1, 1, 1])), tmp_path / "las.nii.gz")
    np.testing.assert_array_equal(decoder.pixels(tmp_path / "las.nii.gz", SliceRange(2, 1, 5, 2)), pixels)


def test_nifti_faults(bids_folder: Path) -> None:
    path = bids_folder / "sub-a" / "anat" / "sub-a_T1w.nii.gz"
    volume = np.zeros((6, 8, 11), np.float32)
    volume[0, 0, 4] = np.nan
    nib.save(nib.Nifti1Image(volume, np.eye(4)), path)
    options = {"modality": "T1w", "labels": ("image",)}
    with pytest.raises(DataError, match=r"sub-a_T1w.nii.gz has 1 pixels that are NaN or infinite"):
        decode(bids_folder, **options)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"sub-a_T1w.nii.gz cannot be read as NIfTI"):
        decode(bids_folder, **options)
    nib.save(nib.Nifti1Image(np.zeros((6, 8, 11, 3), np.float32), np.eye(4)), path)
    with pytest.raises(DataError, match=r"holds 3 volumes at one place .* set data.volume"):
        decode(bids_folder, **options)


def test_masks_follow_their_images(bids_folder: Path) -> None:
    site = decode(bids_folder, modality="T1w", labels=("image",), columns={"mask": "dseg"})
    assert site.masks is not None
    assert site.masks.shape == (8, 1, 16, 16)
    assert set(np.unique(site.masks)) == {0, 3}
    # 8 x 6 pixels become 16 x 12: the padding of two columns on either side is outside every mask.
    assert not site.masks[..., :2].any()
    volume = np.asarray(nib.load(bids_folder / "sub-a" / "anat" / "sub-a_dseg.nii.gz").dataobj)
    expected = np.rot90(volume[:, :, 4])
    np.testing.assert_array_equal(site.masks[0, 0, ::2, 2:14:2], expected)


def test_a_mask_of_another_size_is_refused(one_png: Callable[..., Path]) -> None:
    folder = one_png(np.zeros((16, 16), np.uint8), mask="mask.png")
    Image.fromarray(np.zeros((16, 15), np.uint8)).save(folder / "mask.png")
    with pytest.raises(DataError, match=r"mask.png is 1 x 16 x 15, but its image one.png is 16 x 16"):
        decode(folder, columns={"mask": "mask"})


def dicom(path: Path, stored: np.ndarray, **tags: object) -> Path:
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_dicom_values(tmp_path: Path) -> None:
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
    decoder = DicomDecoder()
    plain = decoder.pixels(dicom(tmp_path / "a.dcm", stored), None)
    np.testing.assert_array_equal(plain[0, ..., 0], stored)
    scaled = decoder.pixels(
        dicom(tmp_path / "b.dcm", stored, RescaleSlope="0.5", RescaleIntercept="-10"), None
    )
    np.testing.assert_allclose(scaled[0, ..., 0], stored * 0.5 - 10)
    inverted = decoder.pixels(
        dicom(tmp_path / "c.dcm", stored, PhotometricInterpretation="MONOCHROME1"), None
    )
    np.testing.assert_array_equal(inverted[0, ..., 0], 4095 - stored)
    frames = np.stack([stored, stored + 1, stored + 2])
    path = dicom(tmp_path / "d.dcm", frames, NumberOfFrames=3)
    assert decoder.header(path, 2).depth == 3
    np.testing.assert_array_equal(decoder.pixels(path, SliceRange(0, 1, 3, 1))[..., 0], frames[1:])


def test_dicom_without_pixels_or_with_too_few(tmp_path: Path) -> None:
    tags = {"PatientID": "p", "InstitutionName": "s", "Modality": "MR"}
    path = dicom(tmp_path / "a.dcm", np.zeros((16, 16), np.uint16), **tags)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = dataset.PixelData[:100]
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"a.dcm has pixels that cannot be decoded"):
        decode(tmp_path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"a.dcm has no pixels: repair it"):
        decode(tmp_path)


def test_loaded_sites_agree_with_the_index(png_folder: Path, tmp_path: Path) -> None:
    data = DataSection(image_size=(16, 24))
    index = build_index(png_folder, data)
    parts = {patient: Part(i % 3) for i, patient in enumerate(index.patients)}
    north, south = load_sites(png_folder, index, parts, data, tmp_path / "cache")
    assert (north.site, south.site) == ("north", "south")
    assert north.images.shape == (16, 1, 16, 24)
    assert north.images.dtype == torch.float16
    assert north.classes == data.labels
    numbers = patient_numbers(index.at("south"))
    assert sorted(numbers.values()) == list(range(8))
    for row, entry in enumerate(index.at("south")):
        assert int(south.patients[row]) == numbers[entry.patient]
        assert int(south.parts[row]) == parts[entry.patient]
        assert data.labels[int(south.labels[row])] == entry.label
        stored = np.asarray(Image.open(png_folder / entry.path), np.float32)[..., np.newaxis] / 127.5 - 1
        # 20 x 28 fits 16 x 24 as 16 x 22 or 17 x 24: the height binds.
        expected = resize(stored, (16, 22))[..., 0]
        np.testing.assert_allclose(south.images[row, 0, :, 1:23].float(), expected, atol=2e-3)


def test_an_index_that_no_longer_fits_is_refused(one_png: Callable[..., Path]) -> None:
    folder = one_png(np.zeros((16, 16), np.uint8))
    data = DataSection.model_validate(ONE)
    index = build_index(folder, data)
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(folder / "one.png")
    with pytest.raises(DataError, match=r"holds 1 x 8 x 16 where the index says 1 x 16 x 16: index"):
        decode_site(folder, index.entries, data)
