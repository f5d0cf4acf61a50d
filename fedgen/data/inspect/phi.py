"""What in a folder could tell who its patients are: which attributes are filled and in how many files, never with what.

It finds what is written down in known places. It cannot show that nothing else is there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fedgen.data.folder_scan import files_of, hidden_files_of
from fedgen.data.identity import is_missing
from fedgen.data.inspect.burned_text import TextDetector
from fedgen.data.inspect.faces import Face
from fedgen.data.inspect.head_volumes import faces_in
from fedgen.data.inspect.phi_file import look_into
from fedgen.data.inspect.text_look import TextLook, look_for_text
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
_NO_DETECTOR = (
    "The pictures themselves were not searched for text: install the detector (pip install fedgen[text]) and look "
    "again, or look at some of each."
)
_DETECTED = (
    "The detector of text misses letters that are small, faint or alone, and takes some catheters and edges for text: "
    "look at some pictures of each kind all the same."
)
_FACES = (
    "Faces are judged by shape: a face that was blurred or exchanged counts as one, and a head far from upright may be "
    "misjudged. Profiles, eyes and ears in 2D pictures are not looked for."
)
_VALUES = "Values were not judged: whether a PatientID is a pseudonym and whether a date was shifted, only you can say."
#: Stands for the path of a file that is named after its patient.
_NAMED = "(a file named after the patient)"


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
        text: what a detector of letters found in the pictures; None where none is installed.
        faces: volumes by what their shape says of a face.
        face_files: those in which a face is suspected; the first file of a series.
        hidden: files whose names begin with a dot, which were not looked at.
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
    text: TextLook | None = None
    faces: dict[str, int] = field(default_factory=dict)
    face_files: tuple[str, ...] = ()
    hidden: int = 0
    unreadable: int = 0
    not_checked: tuple[str, ...] = (_NO_DETECTOR, _FACES, _VALUES)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def check_phi(folder: Path, progress: Callable[[int, int], None] | None = None) -> PhiReport:
    """Look at the metadata of every file, at the shape of every volume, and for text where a detector is installed.

    Args:
        folder: any folder.
        progress: told (volumes done, volumes in all), then (files searched for text, such files in all).

    Raises:
        DataError: the folder cannot be read.
    """
    files = files_of(folder)
    seen = list(parallel(lambda path: look_into(folder, path), files))
    attributes: dict[str, Counter[str]] = defaultdict(Counter)
    for one in seen:
        for kind, keyword in one.attributes:
            attributes[kind][keyword] += 1
    dicom = {path: one for path, one in zip(files, seen, strict=True) if one.dicom}
    faces = faces_in(folder, files, tuple(dicom), progress)
    try:
        detector = TextDetector()
    except ImportError:
        letters = None
    else:
        series = {path: one.series for path, one in dicom.items()}
        letters = look_for_text(detector, folder, files, series, progress)

    def shown(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(_NAMED if path in dicom and dicom[path].named else path for path in paths)

    return PhiReport(
        files=len(files),
        dicom=sum(one.dicom for one in seen),
        attributes={kind: dict(counts.most_common()) for kind, counts in sorted(attributes.items())},
        said_removed=sum(one.removed for one in seen),
        text_in_picture=dict(Counter(one.written for one in seen if one.written).most_common()),
        metadata=dict(Counter(place for one in seen for place in one.metadata).most_common()),
        columns=tuple(_columns(folder)),
        named_by_patient=sum(one.named for one in seen),
        text=None if letters is None else replace(letters, suspected=shown(letters.suspected)),
        faces={face.value: faces.counts[face] for face in Face if faces.counts[face]},
        face_files=shown(faces.suspected),
        hidden=len(hidden_files_of(folder)),
        unreadable=sum(one.unreadable for one in seen),
        not_checked=(_NO_DETECTOR if letters is None else _DETECTED, _FACES, _VALUES),
    )


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
