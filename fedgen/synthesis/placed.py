"""A made image as a file where its source lies: on the source's grid, of the same patient, said to be synthetic."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pydicom.valuerep import DSfloat

from fedgen import __version__
from fedgen.data.decoders.dicom.plane import Plane, plane_of
from fedgen.data.index import IndexEntry
from fedgen.data.orientation import axis_of, turned
from fedgen.data.voxel_map import matrix, regrid
from fedgen.errors import DataError
from fedgen.synthesis.dicom import derived_uid, dicom_bytes
from fedgen.synthesis.dicom_tags import MAKER, add_equipment
from fedgen.synthesis.formats import NIFTI_DESCRIPTION

FloatArray = NDArray[np.float32]

NIFTI = (".nii", ".nii.gz", ".hdr")
#: What a derived image keeps of its source: whose it is, in which study, and where it lies; never pixels or their tags.
KEPT = (
    "SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "Modality", "InstitutionName", "BodyPartExamined",
    "PatientPosition", "Laterality", "FrameOfReferenceUID", "PositionReferenceIndicator", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "SliceLocation",
    "PatientOrientation", "InstanceNumber", "AcquisitionNumber",
)  # fmt: skip
_TOP = 2**16 - 1
_SYNTHETIC = (
    "Synthetic image made by a generative model from other images of this patient. No scanner made it."
)


class About(NamedTuple):
    """What the files say of the model.

    Attributes:
        target: what was made.
        model_sha256: of its weights; UIDs hang on it, so that another model's images are other series.
        statement: how the patients that it learned from were protected.
    """

    target: str
    model_sha256: str
    statement: str


def nifti_on_source(folder: Path, entry: IndexEntry, values: FloatArray) -> bytes:
    """A gzipped NIfTI-1 of values (slice, row, column), on the grid and with the affine of the source.

    Of another format than NIfTI the grid is that of the decoded volume, turned to the closest RAS axes.

    Args:
        folder, entry: of the source, whose `affine` is of all its slices.
        values: as `pixels` of its decoder lie, of all slices.

    Raises:
        DataError: it is not known where the source lies.
    """
    if entry.affine is None:
        raise DataError(
            f"{entry.path} does not say where it lies in the patient, so that no NIfTI can: use --format png."
        )
    affine = matrix(entry.affine)
    if entry.path.lower().endswith(NIFTI):
        source = nib.load(folder / entry.path)
        assert isinstance(source, SpatialImage) and source.affine is not None
        shape = (*source.shape, 1, 1)[:3]
        voxels = regrid(values, affine, source.affine, shape)
        made = nib.Nifti1Image(np.ascontiguousarray(voxels), source.affine)
        if isinstance(source, nib.Nifti1Image):
            _, qcode = source.get_qform(coded=True)
            _, scode = source.get_sform(coded=True)
            made.set_qform(source.get_qform(), int(qcode))
            made.set_sform(source.get_sform(), int(scode))
    else:
        made = nib.as_closest_canonical(nib.Nifti1Image(values, affine))
    made.header["descrip"] = NIFTI_DESCRIPTION.encode()
    made.header.set_xyzt_units("mm")
    # No time in the gzip header: the same image is the same file.
    return gzip.compress(made.to_bytes(), mtime=0)


def dicom_on_source(
    folder: Path, entry: IndexEntry, values: FloatArray, window: tuple[float, float], about: About
) -> list[bytes]:
    """The series that is derived from a DICOM series, an object for each of its images in the order of `entry.files`.

    Patient, study, frame of reference and place stay; series and images have UIDs of their own, which are always the
    same for the same source and model.

    Args:
        folder, entry: of the source, each of whose files holds one image.
        values: (slice, row, column) as its decoder gives them, of all slices.
        window: the values that become 0 and 65535.
        about: the model.

    Raises:
        DataError: the source is no DICOM series of single images, or does not say where it lies.
    """
    sources = []
    for file in entry.files:
        try:
            sources.append(dcmread(folder / file, stop_before_pixels=True))
        except (OSError, InvalidDicomError) as error:
            raise DataError(
                f"{file} is no DICOM file, and only a DICOM series has a patient and a study to derive one in: use "
                "--format nifti."
            ) from error
    if len(entry.files) != len(values) or any(
        int(each.get("NumberOfFrames", 1) or 1) > 1 for each in sources
    ):
        raise DataError(f"{entry.path} holds several images in one file: use --format nifti.")
    plane = plane_of(sources[0])
    if entry.slices is not None and plane.side and entry.slices.axis != axis_of(plane.side):
        raise DataError(
            f"{entry.path} is cut across its own slices (data.slices.axis), so that no series can be derived from it: "
            "use --format nifti."
        )
    series = derived_uid(str(sources[0].SeriesInstanceUID), about.model_sha256, "series")
    return [
        dicom_bytes(_derived(source, _as_stored(image, plane), window, str(series), about))
        for source, image in zip(sources, values, strict=True)
    ]


def _as_stored(values: FloatArray, plane: Plane) -> FloatArray:
    """(rows, columns) of one slice as its file stores them."""
    return np.ascontiguousarray(turned(values, plane.wanted, plane.orientation))


def _derived(
    source: Dataset, pixels: FloatArray, window: tuple[float, float], series: str, about: About
) -> Dataset:
    made = Dataset()
    for keyword in KEPT:
        if keyword in source:
            setattr(made, keyword, source[keyword].value)
    lower, upper = window
    share = np.clip((pixels.astype(np.float64) - lower) / (upper - lower), 0, 1)
    stored = np.round(share * _TOP).astype("<u2")
    made.Rows, made.Columns = stored.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    made.PixelData = stored.tobytes()
    made["PixelData"].VR = "OW"
    made.RescaleSlope = DSfloat((upper - lower) / _TOP, auto_format=True)
    made.RescaleIntercept, made.RescaleType = DSfloat(lower, auto_format=True), "US"
    made.WindowCenter = DSfloat((lower + upper) / 2, auto_format=True)
    made.WindowWidth = DSfloat(upper - lower, auto_format=True)
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = derived_uid(str(source.SOPInstanceUID), about.model_sha256, "image")
    made.SeriesInstanceUID = series
    made.SeriesNumber = int(source.get("SeriesNumber") or 0) + 9000
    made.SeriesDescription = f"Synthetic {about.target}"[:64]
    made.ConversionType, made.ImageType = "SYN", ["DERIVED", "SECONDARY"]
    made.Manufacturer, made.ManufacturerModelName = MAKER, MAKER
    made.SoftwareVersions = f"{MAKER} {__version__}"
    made.SyntheticData, made.BurnedInAnnotation, made.LossyImageCompression = "YES", "NO", "00"
    made.DerivationDescription = _SYNTHETIC
    made.ImageComments = f"{_SYNTHETIC} {about.statement}"[:10240]
    add_equipment(made, f"{_SYNTHETIC} {about.statement}")
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    made.SourceImageSequence = Items([reference])
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def is_dicom(entry: IndexEntry, folder: Path) -> bool:
    """Whether the first file is a DICOM file, by its letters or its ending."""
    path = folder / entry.path
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" or path.name.lower().endswith((".dcm", ".dicom"))


def in_window(values: Sequence[float] | FloatArray, window: tuple[float, float]) -> FloatArray:
    """Stored values of what is in [-1, 1]."""
    lower, upper = window
    found: FloatArray = (lower + (np.asarray(values, np.float32) + 1) / 2 * (upper - lower)).astype(
        np.float32
    )
    return found
