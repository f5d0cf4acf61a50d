"""What in a folder could tell who its patients are: which attributes are filled and in how many files, never with what.

It finds what is written down in known places. It cannot show that nothing else is there.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
from PIL import Image

from fedgen.data.build import files_of
from fedgen.data.decoders.dicom.tags import looks_like_dicom, read_tags, text, words
from fedgen.data.decoders.guard import UnreadableError, guard
from fedgen.data.decoders.registry import by_ending, nameless
from fedgen.data.identity import is_missing
from fedgen.data.inspect.identifying import DRAWN, PRIVATE, gives_away
from fedgen.data.read import parallel
from fedgen.data.table import read_table, tables_of
from fedgen.errors import DataError

#: Words in the name of a table's column.
_COLUMNS = [
    "name",
    "birth",
    "dob",
    "address",
    "street",
    "zip",
    "postal",
    "phone",
    "email",
    "mail",
    "ssn",
    "mrn",
    "insurance",
    "physician",
    "doctor",
]
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
_HEADS = ("HEAD", "BRAIN", "FACE", "SKULL", "NECK", "ORBIT", "SINUS")
#: Modalities in whose pictures makers and people write.
_WRITTEN_ON = ("US", "SC", "OT", "XC", "ES", "RF", "XA")
_NOT_CHECKED = (
    "The pictures themselves were not searched for text (no text detector is part of fedgen): look at some of each.",
    "No face was looked for: where volumes show heads with skin, a face can be rendered; deface them unless the brain "
    "alone is left.",
    "Values were not judged: whether a PatientID is a pseudonym, and whether a date was shifted, only you can say.",
)


@dataclass(frozen=True)
class PhiReport:
    """What could tell who a patient is; it holds no value of any attribute.

    Attributes:
        files: files that were looked at.
        dicom: DICOM files among them.
        attributes: by what they give away, the number of DICOM files in which each attribute is filled.
        said_removed: DICOM files whose PatientIdentityRemoved says YES.
        text_in_picture: DICOM files by what their tags say of text in the picture.
        metadata: other files with text of their own in known places, by place.
        columns: columns of tables whose names promise something identifying, as `TABLE: COLUMN`.
        named_by_patient: DICOM files whose own path holds the patient's name or identity.
        heads: files that may be volumes of heads.
        unreadable: files that could not be looked into.
        not_checked: what this check cannot say.
    """

    files: int = 0
    dicom: int = 0
    attributes: dict[str, dict[str, int]] = field(default_factory=dict)
    said_removed: int = 0
    text_in_picture: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, int] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    named_by_patient: int = 0
    heads: int = 0
    unreadable: int = 0
    not_checked: tuple[str, ...] = _NOT_CHECKED

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class _Seen:
    """One file."""

    dicom: bool = False
    attributes: frozenset[tuple[str, str]] = frozenset()
    removed: bool = False
    written: str = ""
    metadata: tuple[str, ...] = ()
    named: bool = False
    head: bool = False
    unreadable: bool = False


def check_phi(folder: Path) -> PhiReport:
    """Look at the metadata of every file; no picture is decoded.

    Raises:
        DataError: the folder cannot be read.
    """
    files = files_of(folder)
    seen = list(parallel(lambda path: _look(folder, path), files))
    attributes: dict[str, Counter[str]] = defaultdict(Counter)
    for one in seen:
        for kind, keyword in one.attributes:
            attributes[kind][keyword] += 1
    return PhiReport(
        files=len(files),
        dicom=sum(one.dicom for one in seen),
        attributes={kind: dict(counts.most_common()) for kind, counts in sorted(attributes.items())},
        said_removed=sum(one.removed for one in seen),
        text_in_picture=dict(Counter(one.written for one in seen if one.written).most_common()),
        metadata=dict(Counter(place for one in seen for place in one.metadata).most_common()),
        columns=tuple(_columns(folder)),
        named_by_patient=sum(one.named for one in seen),
        heads=sum(one.head for one in seen),
        unreadable=sum(one.unreadable for one in seen),
    )


def _look(folder: Path, path: str) -> _Seen:
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
                return _Seen(
                    metadata=_nifti(file), head=not ending.endswith(("_bold.nii.gz", "_dseg.nii.gz"))
                )
            if ending.endswith(".json"):
                return _Seen(metadata=_sidecar(file))
            if decoded and not ending.endswith((".nrrd", ".mha", ".mhd", ".hdr", ".img", ".npz", ".npy")):
                return _Seen(metadata=_raster(file))
    except UnreadableError:
        return _Seen(unreadable=True)
    return _Seen()


def _dicom(file: Path, path: str) -> _Seen:
    tags = read_tags(file, stop_before_pixels=True)
    found = set()
    for element in tags.iterall():
        kind = gives_away(element)
        # A private element has no keyword that others would know.
        if kind is not None and not element.is_empty:
            found.add((kind, "" if kind in (PRIVATE, DRAWN) else element.keyword or str(element.tag)))
    modality, part = text(tags, "Modality"), text(tags, "BodyPartExamined").upper()
    return _Seen(
        dicom=True,
        attributes=frozenset(found),
        removed=text(tags, "PatientIdentityRemoved").upper() == "YES",
        written=_written(tags, modality),
        named=_names(tags, path),
        head=modality in ("CT", "MR", "PT") and (not part or any(word in part for word in _HEADS)),
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


def _columns(folder: Path) -> Sequence[str]:
    found = []
    for path in tables_of(folder):
        try:
            table = read_table(path)
        except DataError:
            continue
        for column in table.columns:
            parts = column.casefold().replace("_", " ").replace("-", " ").split()
            filled = any(not is_missing(row.cells[column]) for row in table.rows)
            if (
                filled
                and any(word in _COLUMNS or word.endswith("name") for word in parts)
                and "file" not in column.casefold()
            ):
                found.append(f"{path.name}: {column}")
    return found
