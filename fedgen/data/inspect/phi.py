"""What in a folder could tell who its patients are: which attributes are filled and in how many files, never with what.

It finds what is written down in known places. It cannot show that nothing else is there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fedgen.data.folder_scan import files_of
from fedgen.data.identity import is_missing
from fedgen.data.inspect.phi_file import look_into
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


def check_phi(folder: Path) -> PhiReport:
    """Look at the metadata of every file; no picture is decoded.

    Raises:
        DataError: the folder cannot be read.
    """
    files = files_of(folder)
    seen = list(parallel(lambda path: look_into(folder, path), files))
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
