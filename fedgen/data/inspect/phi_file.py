"""What one file holds that could tell who a patient is: which attributes are filled, never with what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
from PIL import Image

from fedgen.data.decoders.dicom.tags import looks_like_dicom, read_tags, text, words
from fedgen.data.decoders.guard import UnreadableError, guard
from fedgen.data.decoders.registry import by_ending, nameless
from fedgen.data.identity import is_missing
from fedgen.data.inspect.identifying import DRAWN, PRIVATE, gives_away

#: Keys of the JSON beside a volume that converters copy from DICOM.
_SIDECAR = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientWeight",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "StudyDate",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "DeviceSerialNumber",
    "StationName",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "StudyID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ProcedureStepDescription",
]
#: Modalities in whose pictures makers and people write.
_WRITTEN_ON = ("US", "SC", "OT", "XC", "ES", "RF", "XA")
#: Modalities whose series are slices, alike in what is written on them.
_SLICED = ("CT", "MR", "PT", "NM")


@dataclass(frozen=True)
class FileSecrets:
    """What was found in one file; the attributes are those of `phi.PhiReport`, which adds them up.

    `series` tells the series of slices apart that DICOM files are of; it goes nowhere.
    """

    dicom: bool = False
    attributes: frozenset[tuple[str, str]] = frozenset()
    removed: bool = False
    written: str = ""
    metadata: tuple[str, ...] = ()
    named: bool = False
    series: str = ""
    unreadable: bool = False


def look_into(folder: Path, path: str) -> FileSecrets:
    """Look at the metadata of a file; no picture is decoded."""
    name, file = PurePosixPath(path), folder / path
    ending = name.name.lower()
    try:
        with guard():
            decoded = ending.endswith(tuple(by_ending()))
            if ending.endswith((".dcm", ".dicom", ".ima")) or (
                (nameless(name) or not decoded) and file.is_file() and looks_like_dicom(file)
            ):
                return _dicom(file, path)
            if ending.endswith((".nii", ".nii.gz")):
                return FileSecrets(metadata=_nifti(file))
            if ending.endswith(".json"):
                return FileSecrets(metadata=_sidecar(file))
            if decoded and not ending.endswith((".nrrd", ".mha", ".mhd", ".hdr", ".img", ".npz", ".npy")):
                return FileSecrets(metadata=_raster(file))
    except UnreadableError:
        return FileSecrets(unreadable=True)
    return FileSecrets()


def _dicom(file: Path, path: str) -> FileSecrets:
    tags = read_tags(file, stop_before_pixels=True)
    found = set()
    for element in tags.iterall():
        kind = gives_away(element)
        # A private element has no keyword that others would know.
        if kind is not None and not element.is_empty:
            found.add((kind, "" if kind in (PRIVATE, DRAWN) else element.keyword or str(element.tag)))
    modality = text(tags, "Modality")
    return FileSecrets(
        dicom=True,
        attributes=frozenset(found),
        removed=text(tags, "PatientIdentityRemoved").upper() == "YES",
        written=_written(tags, modality),
        named=_names(tags, path),
        series=text(tags, "SeriesInstanceUID") if modality in _SLICED else "",
    )


def _written(tags: Any, modality: str) -> str:
    said = text(tags, "BurnedInAnnotation").upper()
    if said == "YES":
        return "said to be there (BurnedInAnnotation YES)"
    if said == "NO":
        return "said not to be there (BurnedInAnnotation NO)"
    secondary = any(word.upper() in ("SECONDARY", "SCREEN SAVE") for word in words(tags, "ImageType"))
    if secondary or modality in _WRITTEN_ON or "ConversionType" in tags:
        return "suspected: nothing is said, and the picture was captured, derived or is of a kind that is written on"
    return "nothing is said"


def _names(tags: Any, path: str) -> bool:
    parts = text(tags, "PatientName").replace("^", " ").replace("=", " ").split()
    told = [part for part in (*parts, text(tags, "PatientID")) if len(part) >= 4 and not is_missing(part)]
    return any(part.casefold() in path.casefold() for part in told)


def _nifti(file: Path) -> tuple[str, ...]:
    header = nib.load(file).header
    fields = ("descrip", "aux_file", "db_name", "intent_name")
    filled = [name for name in fields if name in header and bytes(header[name].tobytes()).strip(b"\0 ")]
    return tuple(f"NIfTI header: {name}" for name in filled)


def _sidecar(file: Path) -> tuple[str, ...]:
    value = json.loads(file.read_text(encoding="utf-8"))
    known = set(value) if isinstance(value, dict) else set()
    return tuple(f"JSON beside the image: {key}" for key in _SIDECAR if key in known and value[key])


def _raster(file: Path) -> tuple[str, ...]:
    with Image.open(file) as image:
        exif = image.getexif()
        texts = [key for key, value in image.info.items() if isinstance(value, str) and value.strip()]
        places = []
        if 0x8825 in exif:
            places.append("EXIF: position (GPS)")
        if any(tag in exif for tag in (0x010E, 0x013B, 0x8298, 0x9286, 0x0132)):
            places.append("EXIF: description, author, comment or date")
        if texts:
            places.append("text in the image file")
    return tuple(places)
