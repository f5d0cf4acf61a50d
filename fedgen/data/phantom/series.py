"""What the tags of the phantom's MR series say."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from fedgen.data.phantom.dicom import Value
from fedgen.data.phantom.patient import IMAGED, Patient
from fedgen.data.phantom.scanner import CONTRASTS

#: Stored values are 12 bits; the rescale slope brings them to 0..255, the default intensity window.
STORED_MAX = 4095
#: As the file says it.
RESCALE_SLOPE = float(f"{255 / STORED_MAX:.10f}")
MODALITY = "MR"
_FIELD_OF_VIEW = 220.0


def instance_uid(stored: NDArray[np.uint16], site: str, patient: Patient, contrast: str, number: int) -> str:
    """SOPInstanceUID of one image."""
    # The UID hashes the pixels too, so that phantoms of different seeds never share one.
    pixels = hashlib.sha256(stored.tobytes()).hexdigest()
    return generate_uid(entropy_srcs=[site, patient.identity, contrast, str(number), pixels])


def elements(
    size: tuple[int, ...], site: str, patient: Patient, contrast: str, number: int, level: float
) -> dict[str, Value]:
    """Every element of one image but its own UID and its pixels.

    Args:
        size: (rows, columns).
        site: InstitutionName.
        patient: whose image.
        contrast: one of CONTRASTS.
        number: of the slice in its series, from 1.
        level: height of the slice in [-1, 1].
    """
    study = generate_uid(entropy_srcs=[site, patient.identity, patient.birth_date])
    return {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": generate_uid(
            entropy_srcs=[site, patient.identity, patient.birth_date, contrast]
        ),
        "FrameOfReferenceUID": study,
        "PatientID": patient.identity,
        "PatientName": patient.name,
        "PatientBirthDate": patient.birth_date,
        "PatientSex": patient.sex,
        "PatientAge": f"{patient.age:03d}Y",
        "StudyDate": IMAGED,
        "StudyTime": "120000",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "InstitutionName": site,
        "Manufacturer": "fedgen phantom",
        "ImageType": ("DERIVED", "PRIMARY"),
        "Modality": MODALITY,
        "SeriesDescription": contrast,
        "SeriesNumber": CONTRASTS.index(contrast) + 1,
        "InstanceNumber": number,
        "ScanningSequence": "SE",
        "SequenceVariant": "NONE",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "EchoTime": None,
        "EchoTrainLength": None,
        "PixelSpacing": (f"{_FIELD_OF_VIEW / min(size):.6g}",) * 2,
        "SliceThickness": "5",
        "ImageOrientationPatient": (1, 0, 0, 0, 1, 0),
        "ImagePositionPatient": (-110, -110, round(60 * level, 3)),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": size[0],
        "Columns": size[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "RescaleIntercept": "0",
        "RescaleSlope": f"{RESCALE_SLOPE:.10f}",
        "RescaleType": "US",
        "WindowCenter": "127.5",
        "WindowWidth": "255",
    }
