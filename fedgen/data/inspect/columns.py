"""What the columns of a table are probably for: found by their cells and names, before any study names them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedgen.data.identity import is_missing, is_unlabelled
from fedgen.data.layouts.file_names import FileNames
from fedgen.data.layouts.label_rows import KEYS
from fedgen.data.table import Table, read_table, tables_of
from fedgen.errors import DataError
from fedgen.study.data import Columns

#: Names of columns without case and punctuation, the surest first.
_NAMES = {
    "patient": "patient patientid personid person subject subjectid participant participantid patid ptid pid mrn "
    "caseid case patientnumber usubjid patientcode patients",
    "site": "site hospital centre center institution institutionname clinic siteid centreid centerid hospitalid "
    "sitename hospitalname sites",
    "label": "label class diagnosis dx target finding category classname disease pathology condition group outcome "
    "findings findinglabels findinglabel birads grade y",
    "mask": "mask maskpath segmentation seg segpath maskfile labelmap roi masks",
    "image": "image imagepath path file filename filepath img imagefile dicom nifti png picture images",
}
_RANK = {key: {name: rank for rank, name in enumerate(names.split())} for key, names in _NAMES.items()}
#: A label has at least two classes, and few: a column with more values than this tells things apart, not kinds.
_MOST_CLASSES = 20
#: A number with decimals measures something.
_MEASURE = re.compile(r"-?\d+\.\d+")
#: Rows that are looked at to see whether a column names files.
_LOOKED_AT = 200


@dataclass(frozen=True)
class LabelColumn:
    """A column that could be the classes of a study, with the rows of each value; missing cells are left out."""

    column: str
    values: dict[str, int]


@dataclass(frozen=True)
class Guess:
    """What a table's columns are for.

    Attributes:
        columns: as a study would name them; defaults where nothing was found.
        image_is_patient: no column of patients was found, so each image counts as one.
        labels: columns that could be the classes, likeliest first.
        masks: columns that name masks.
    """

    columns: Columns
    image_is_patient: bool
    labels: tuple[LabelColumn, ...]
    masks: tuple[str, ...]


def guess_columns(table: Table, files: Sequence[str], folder: Path, given: Mapping[str, str]) -> Guess:
    """What each column of `table` is for.

    Args:
        files: every file of the folder.
        given: columns that a person named, by the key of `data.columns`; they stand.
    """
    named = list(_columns_of_files(table, FileNames(files), folder))
    masks = [column for column in named if _plain(column) in _RANK["mask"] or "mask" in column.casefold()]
    images = [column for column in named if column not in masks]
    image = given.get("image") or _first(images, "image") or (images[0] if images else None)
    site = given.get("site") or _first(table.columns, "site")
    patient = given.get("patient") or _first(table.columns, "patient")
    labels = tuple(_labels(table, {image, site, patient, *named}))
    label = given.get("label") or _first([each.column for each in labels], "label")
    found = {"image": image, "patient": patient, "site": site, "label": label, "mask": given.get("mask")}
    without_patient = patient is None and image is not None
    if without_patient:
        found["patient"] = image
    columns = Columns.model_validate({key: value for key, value in found.items() if value is not None})
    return Guess(columns, without_patient, labels, tuple(masks))


def pick_table(folder: Path, files: Sequence[str]) -> tuple[Table | None, tuple[str, ...]]:
    """The table at the top of `folder` that says most of its images, and a sentence about each that says nothing.

    Returns:
        The table, or None where none names an image or has a column that DICOM files or participants are known by.
    """
    names = FileNames(files)
    best: tuple[int, Table] | None = None
    said = []
    for path in tables_of(folder):
        try:
            table = read_table(path)
        except DataError as error:
            said.append(str(error))
            continue
        score = _describes(table, names, folder)
        if score and (best is None or score > best[0]):
            best = (score, table)
        elif not score:
            said.append(f"{path.name} names no image of the folder and was not used.")
    return (None if best is None else best[1]), tuple(said)


def _describes(table: Table, names: FileNames, folder: Path) -> int:
    """How many rows of a table are about images of the folder, as far as its columns tell."""
    if any(True for _ in _columns_of_files(table, names, folder)):
        return 1 + len(table.rows)
    known = {*KEYS, *(("participant_id",) if table.path.stem == "participants" else ())}
    return len(table.rows) if known & set(table.columns) else 0


def _columns_of_files(table: Table, names: FileNames, folder: Path) -> Iterator[str]:
    base = os.path.relpath(table.path.parent, folder)
    for column in table.columns:
        cells = [row.cells[column] for row in table.rows[:_LOOKED_AT] if not is_missing(row.cells[column])]
        paths = (
            os.path.normpath(PurePosixPath(base, cell.replace("\\", "/"))) for cell in cells if "." in cell
        )
        if any(names.has(path) for path in paths):
            yield column


def _labels(table: Table, taken: set[str | None]) -> Iterator[LabelColumn]:
    found = []
    for position, column in enumerate(table.columns):
        plain = _plain(column)
        if (
            column in taken
            or not column
            or plain in _RANK["patient"]
            or plain in _RANK["site"]
            or column in KEYS
        ):
            continue
        values = Counter(row.cells[column] for row in table.rows if not is_unlabelled(row.cells[column]))
        if any(_MEASURE.fullmatch(value) for value in values):
            continue
        if 2 <= len(values) <= _MOST_CLASSES and len(values) <= values.total() / 2:
            rank = _RANK["label"].get(plain, len(_RANK["label"]))
            found.append((rank, position, LabelColumn(column, dict(values.most_common()))))
    for _, _, each in sorted(found, key=lambda item: item[:2]):
        yield each


def _first(columns: Sequence[str], key: str) -> str | None:
    """The column whose name is the surest for `data.columns.KEY`."""
    ranks = {column: rank for column in columns if (rank := _RANK[key].get(_plain(column))) is not None}
    return min(ranks, key=lambda column: ranks[column], default=None)


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.casefold())
