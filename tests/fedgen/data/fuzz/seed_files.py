"""Small valid files of every format, from which damaged ones are made."""

from __future__ import annotations

import gzip
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

RAMP = (np.arange(12 * 10).reshape(12, 10) * 2).astype(np.uint8)
VOLUME = (np.arange(5 * 6 * 4).reshape(5, 6, 4) * 2).astype(np.int16)


def seed_files() -> dict[str, bytes]:
    """Content by name; what follows the last `/` is how the file is named."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {**_dicom_files(), **_nifti_files(), **_itk_files(), **_rasters(), **_arrays(), **_tables()}


def _dicom_files() -> dict[str, bytes]:
    deep = RAMP.astype(np.uint16) * 16
    files = {
        f"dicom-{syntax.name}/a.dcm": _dicom(deep, syntax)
        for syntax in (
            ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
            RLELossless, JPEGLSLossless,
        )
    }  # fmt: skip
    # OpenJPEG halves a picture five times.
    files["dicom-JPEG 2000/a.dcm"] = _dicom(np.tile(deep, (3, 4)), JPEG2000Lossless)
    files["dicom-JPEG/a.dcm"] = _dicom(RAMP, ExplicitVRLittleEndian, _jpeg, JPEGBaseline8Bit)
    files["dicom-rgb/a.dcm"] = _dicom(np.stack([RAMP] * 3, -1), ExplicitVRLittleEndian)
    files["dicom-inverted/a.dcm"] = _dicom(
        deep,
        ExplicitVRLittleEndian,
        lambda dataset: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"),
    )
    files["dicom-palette/a.dcm"] = _dicom(RAMP, ExplicitVRLittleEndian, _palette)
    files["dicom-lut/a.dcm"] = _dicom(deep, ExplicitVRLittleEndian, _lut)
    files["dicom-frames/a.dcm"] = _dicom(np.stack([deep] * 4), ExplicitVRLittleEndian, _frames)
    files["dicom-nameless/1.2.3"] = _dicom(deep, ExplicitVRLittleEndian)
    return files


def _dicom(
    pixels: np.ndarray,
    syntax: UID,
    change: Callable[[Dataset], object] = lambda dataset: None,
    final: UID | None = None,
) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.5", "1.2.3.6"
    dataset.PatientID, dataset.InstitutionName, dataset.Modality = "P1", "North", "MR"
    dataset.InstanceNumber, dataset.SeriesDescription = 1, "T1"
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    dataset.PixelSpacing, dataset.RescaleSlope, dataset.RescaleIntercept = [1.5, 1.25], "2", "-10"
    colour = pixels.shape[-1] == 3
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    if pixels.ndim == 3 and not colour:
        dataset.NumberOfFrames = len(pixels)
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    order = "<" if syntax.is_little_endian else ">"
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    change(dataset)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax.is_compressed else syntax
    if syntax.is_encapsulated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax)
    elif syntax.is_deflated:
        dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.TransferSyntaxUID = final or dataset.file_meta.TransferSyntaxUID
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _jpeg(dataset: Dataset) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "JPEG")
    dataset.PixelData = encapsulate([buffer.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _palette(dataset: Dataset) -> None:
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(
            dataset, f"{colour}PaletteColorLookupTableData", np.arange(0, 65536, 256, dtype="<u2").tobytes()
        )


def _lut(dataset: Dataset) -> None:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [256, 0, 16], "US"
    item.LUTData = np.arange(0, 65536, 256, dtype="<u2").tobytes()
    dataset.ModalityLUTSequence = Sequence([item])
    del dataset.RescaleSlope, dataset.RescaleIntercept


def _frames(dataset: Dataset) -> None:
    measures, plane, value, shared = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1, 2], 3
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    value.RescaleSlope, value.RescaleIntercept, value.RescaleType = "3", "1", "US"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    shared.PixelValueTransformationSequence = Sequence([value])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for number in range(int(dataset.NumberOfFrames)):
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 3 * number]
        frame.PlanePositionSequence = Sequence([place])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)


def _nifti_files() -> dict[str, bytes]:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    files = {}
    for name, data, kind, ending in (
        ("short", VOLUME, nib.Nifti1Image, ".nii"),
        ("zipped", VOLUME, nib.Nifti1Image, ".nii.gz"),
        ("float", VOLUME.astype(np.float32), nib.Nifti1Image, ".nii"),
        ("complex", VOLUME.astype(np.complex64), nib.Nifti1Image, ".nii"),
        ("times", np.stack([VOLUME] * 3, -1), nib.Nifti1Image, ".nii"),
        ("second", VOLUME, nib.Nifti2Image, ".nii"),
        ("freesurfer", VOLUME, nib.MGHImage, ".mgh"),
        ("zipped-freesurfer", VOLUME, nib.MGHImage, ".mgz"),
        ("pair", VOLUME, nib.Nifti1Pair, ".hdr"),
    ):
        image = kind(data, affine)
        if hasattr(image, "set_sform"):
            image.set_sform(affine, 1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"a{ending}"
            nib.save(image, path)
            files[f"nifti-{name}/a{ending}"] = path.read_bytes()
    return files


def _itk_files() -> dict[str, bytes]:
    image = SimpleITK.GetImageFromArray(VOLUME)
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".nrrd", ".mha"):
            for zipped in (False, True):
                path = Path(folder) / f"a{ending}"
                SimpleITK.WriteImage(image, str(path), zipped)
                files[f"itk-{'zipped' if zipped else 'plain'}{ending}/a{ending}"] = path.read_bytes()
        for ending in (".nhdr", ".mhd"):
            path = Path(folder) / f"a{ending}"
            SimpleITK.WriteImage(image, str(path))
            files[f"itk{ending}/a{ending}"] = path.read_bytes()
    return files


def _rasters() -> dict[str, bytes]:
    rgb = np.stack([RAMP, RAMP // 2, 255 - RAMP], -1)
    files: dict[str, bytes] = {}

    def save(name: str, array: np.ndarray, ending: str, mode: str | None = None, **options: object) -> None:
        image, buffer = Image.fromarray(array), io.BytesIO()
        (image if mode is None else image.convert(mode)).save(
            buffer, Image.registered_extensions()[ending], **options
        )
        files[f"raster-{name}{ending}/a{ending}"] = buffer.getvalue()

    save("gray", RAMP, ".png")
    save("deep", RAMP.astype(np.uint16) * 256, ".png")
    save("colour", rgb, ".png")
    save("palette", rgb, ".png", "P")
    save("gray", RAMP, ".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    save("turned", rgb, ".jpeg", exif=exif)
    save("plain", RAMP, ".tif")
    save("deep", RAMP.astype(np.uint16) * 256, ".tif")
    save("float", RAMP.astype(np.float32), ".tiff")
    for method in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        save(method, RAMP, ".tif", compression=method)
    save("plain", rgb, ".webp", lossless=True)
    save("plain", rgb, ".bmp")
    return files


def _arrays() -> dict[str, bytes]:
    stack, labels = np.stack([RAMP] * 3), np.zeros(3, np.uint8)
    files = {}
    for name, save in (("plain", np.savez), ("zipped", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, train_images=stack, train_labels=labels)
        files[f"array-{name}/a.npz"] = buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, stack)
    files["array-single/a.npy"] = buffer.getvalue()
    idx = bytes([0, 0, 8, 3]) + b"".join(side.to_bytes(4, "big") for side in stack.shape) + stack.tobytes()
    files["array-idx/train-images-idx3-ubyte"] = idx
    files["array-idx-zipped/train-images-idx3-ubyte.gz"] = gzip.compress(idx, mtime=0)
    return files


def _tables() -> dict[str, bytes]:
    return {
        "table/metadata.csv": b"image,patient,site,label\na.png,p1,north,none\nb.png,\"p 2\",south,none\n",
        "table/labels.csv": b"SOPInstanceUID,label\n1.2.3.4,none\n1.2.3.9,none\n",
        "table/participants.tsv": b"participant_id\tsite\tlabel\nsub-1\tnorth\tnone\n",
    }  # fmt: skip
