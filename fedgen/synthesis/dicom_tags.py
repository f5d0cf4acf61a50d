"""What the tags of a synthetic DICOM image say: of which class it is, and that it is synthetic, in standard attributes.

Of each class no more is written than is true of an image that no scanner made. Modules and attributes: DICOM PS3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from fedgen import __version__
from fedgen.task.image_spec import ImageSpec

MAKER = "fedgen"
#: Of the 1024 characters of a short text (PS3.5, section 6.2).
_SHORT_TEXT = 1024
_LONG_TEXT = 10240
_SYNTHETIC = "Synthetic image drawn by a generative model. It shows no patient."
#: BIDS suffixes of magnetic resonance images, in lower case.
_MR_SUFFIXES = (
    "t1w", "t2w", "pdw", "t2starw", "t2star", "flair", "pdt2", "inplanet1", "inplanet2", "angio", "t1map", "t2map",
    "t2starmap", "pdmap", "bold", "sbref", "dwi", "asl", "m0scan", "uni", "swi",
)  # fmt: skip


class Storage(Enum):
    """The classes that a release is written as, with their SOP class."""

    CT = CTImageStorage
    MR = MRImageStorage
    CR = ComputedRadiographyImageStorage
    DX = DigitalXRayImageStorageForPresentation
    SECONDARY = SecondaryCaptureImageStorage
    GRAY_FRAMES = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    COLOUR_FRAMES = MultiFrameTrueColorSecondaryCaptureImageStorage

    @property
    def has_plane(self) -> bool:
        """Whether the class states where its one plane lies in the patient."""
        return self in (Storage.CT, Storage.MR, Storage.SECONDARY)

    @property
    def has_slope(self) -> bool:
        """Whether the class lets a slope turn stored numbers into values."""
        return self not in (Storage.MR, Storage.DX)


@dataclass(frozen=True)
class Provenance:
    """What a released file says of where it comes from.

    Attributes:
        study_sha256: hash of the study; the UIDs of its images begin with it, so that no two studies share one.
        statement: how the patients were protected, in sentences.
        modality: the study's `data.modality`, which may be a BIDS suffix or a series' name.
        made: when the model was trained to its end; the date of the study in the files.
        site: InstitutionName; a release is of no hospital.
    """

    study_sha256: str
    statement: str
    modality: str | None
    made: datetime
    site: str = "synthetic"


@dataclass(frozen=True)
class SyntheticPatient:
    """The person who does not exist, and what the picture is said to show.

    Attributes:
        patient: PatientID.
        label: class of the image.
        number: of the image in its release, from 1.
    """

    patient: str
    label: str
    number: int


def modality_code(modality: str | None) -> str:
    """DICOM's code of a study's modality; OT where it names none of those known here.

    >>> [modality_code(name) for name in ("CT", "T1w", "DX", "my series", None)]
    ['CT', 'MR', 'DX', 'OT', 'OT']
    """
    name = modality or ""
    if name in (
        "CT",
        "MR",
        "CR",
        "DX",
        "MG",
        "US",
        "PT",
        "NM",
        "XA",
        "RF",
        "OP",
        "OPT",
        "ES",
        "XC",
        "IO",
        "PX",
    ):
        return name
    return "MR" if name.lower() in _MR_SUFFIXES else "OT"


def located(grid: ImageSpec) -> bool:
    """Whether it is known where the image lies in the patient: not so of a radiograph, which has no plane there."""
    return bool(grid.orientation) and grid.orientation != "IL" and grid.spacing is not None


def storage_for(code: str, grid: ImageSpec, *, whole_numbers: bool, positive: bool) -> Storage:
    """The class that can say all that is known of an image, and asks for nothing that is not.

    A magnetic resonance image and a digital radiograph have no slope of their own, so the window must be one of whole
    numbers; the latter also states the size of its pixels and which side is which. Where that cannot be, they are
    secondary captures of their modality, by which a study finds them again.

    Args:
        code: see `modality_code`.
        grid: what is known of the image.
        whole_numbers: whether stored values need no slope.
        positive: whether none of them is below 0.
    """
    if grid.dimensions == 3:
        return Storage.GRAY_FRAMES if grid.channels == 1 else Storage.COLOUR_FRAMES
    if grid.channels == 1:
        if code == "CT" and located(grid):
            return Storage.CT
        if code == "MR" and located(grid) and whole_numbers:
            return Storage.MR
        if code == "CR":
            return Storage.CR
        if code == "DX" and grid.spacing is not None and grid.orientation and whole_numbers and positive:
            return Storage.DX
    return Storage.SECONDARY


def add_patient_and_study(dataset: Dataset, subject: SyntheticPatient, about: Provenance) -> None:
    """Modules Patient and General Study: a pseudonym, and nothing of a person."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = f"Synthetic^{subject.number:06d}", subject.patient
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Synthetic image: it shows no patient"
    dataset.StudyDate = dataset.ContentDate = about.made.strftime("%Y%m%d")
    dataset.StudyTime = dataset.ContentTime = about.made.strftime("%H%M%S")
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.StudyDescription = "Synthetic images"


def add_series(dataset: Dataset, code: str, subject: SyntheticPatient, about: Provenance) -> None:
    """Modules General Series and General Equipment."""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = code, 1, 1
    dataset.SeriesDescription = f"Synthetic {subject.label}"[:64]
    dataset.Manufacturer, dataset.ManufacturerModelName = MAKER, MAKER
    dataset.SoftwareVersions = f"{MAKER} {__version__}"
    dataset.InstitutionName, dataset.Laterality = about.site, ""


def add_synthetic_nature(dataset: Dataset, subject: SyntheticPatient, about: Provenance) -> None:
    """That the image is synthetic and how patients were protected, where programs and people look for it."""
    dataset.SyntheticData = "YES"
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"
    dataset.DerivationDescription = _SYNTHETIC
    dataset.ImageComments = f"{_SYNTHETIC} Class: {subject.label}. {about.statement}".strip()[:_LONG_TEXT]
    add_equipment(dataset, f"{_SYNTHETIC} {about.statement}")


def add_equipment(dataset: Dataset, contribution: str) -> None:
    """Who made the image, and how, in the standard's own place for it."""
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109102", "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = Sequence([purpose])
    equipment.Manufacturer, equipment.ManufacturerModelName = MAKER, MAKER
    equipment.SoftwareVersions = f"{MAKER} {__version__}"
    equipment.ContributionDescription = contribution.strip()[:_SHORT_TEXT]
    dataset.ContributingEquipmentSequence = Sequence([equipment])


def add_class(dataset: Dataset, storage: Storage) -> None:
    """What the image's own class asks for beyond the others; what nobody measured is empty."""
    dataset.ImageType, dataset.PatientOrientation = ["DERIVED", "SECONDARY"], ""
    if storage is Storage.CT:
        dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        dataset.KVP = dataset.AcquisitionNumber = None
        dataset.PatientPosition = ""
    elif storage is Storage.MR:
        dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        # Research mode: no sequence made it.
        dataset.ScanningSequence, dataset.SequenceVariant = "RM", "NONE"
        dataset.ScanOptions = dataset.MRAcquisitionType = dataset.PatientPosition = ""
        dataset.RepetitionTime = dataset.EchoTime = dataset.EchoTrainLength = None
    elif storage is Storage.CR:
        dataset.BodyPartExamined = dataset.ViewPosition = ""
    elif storage is Storage.DX:
        _add_digital_radiograph(dataset)
    else:
        dataset.ConversionType = "SYN"
    if storage is Storage.GRAY_FRAMES:
        dataset.PresentationLUTShape = "IDENTITY"


def _add_digital_radiograph(dataset: Dataset) -> None:
    """Modules DX Series, DX Anatomy Imaged, DX Image and DX Detector (PS3.3, C.8.11); no detector took the image."""
    dataset.PresentationIntentType, dataset.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    # What lets few rays through is bright, as in every radiograph that is shown.
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.DetectorType = ""
    dataset.AnatomicRegionSequence = dataset.AcquisitionContextSequence = Sequence()
    dataset.ImageLaterality = "U"
