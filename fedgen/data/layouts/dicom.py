"""Layout `dicom`: a folder of DICOM files, as a PACS exports them, with an optional table of labels.

Patient, study, series and spacing come from the tags. Labels (and masks) come from a CSV beside the files,
because images carry none: its key is the column SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID or
PatientID, the most specific one present.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydicom.uid import MediaStorageDirectoryStorage

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER, dicom_header, read_tags
from fedgen.data.decoders.guard import guarded
from fedgen.data.decoders.registry import nameless
from fedgen.data.findings import DataFinding, plural
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import FolderLayout, Problem, Request, Scan, label_of, taken
from fedgen.data.layouts.table import relative_path, required_cell
from fedgen.data.table import Table, TableRow
from fedgen.errors import DataError

#: Columns a label table may be keyed by, the most specific first.
KEYS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")


class DicomLayout(FolderLayout):
    """One entry a file; site is InstitutionName, else the first folder level, else the folder's own name."""

    name: ClassVar[str] = "dicom"
    precedence: ClassVar[int] = 30

    def matches(self, request: Request) -> bool:
        """At least one DICOM file, by ending or, where there is none, by its first bytes."""
        return next(_dicom_files(request), None) is not None

    def scan(self, request: Request) -> Scan:
        """Read every file's tags.

        Raises:
            DataError: an empty PatientID, or a label table without a usable key.
        """
        result = Scan(self.name)
        labels = _Labels(request)
        without_institution = 0
        for path in _dicom_files(request):
            try:
                tags = read_tags(request.folder / path, stop_before_pixels=True)
                modality, series = _text(tags, "Modality"), _text(tags, "SeriesDescription")
                patient, institution = _text(tags, "PatientID"), _text(tags, "InstitutionName")
                study, row = _text(tags, "StudyInstanceUID"), labels.row(tags)
            except UnreadableError as error:
                result.problems.append(Problem(path, str(error)))
                continue
            if tags.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                result.excluded["DICOMDIR"] += 1
                continue
            if not request.wants(modality, series):
                result.excluded[f"other modality ({series or modality or 'none given'})"] += 1
                continue
            try:
                header = dicom_header(tags)
                of_study = taken(header, request.data)
            except UnreadableError as error:
                result.problems.append(Problem(path, str(error)))
                continue
            if not patient:
                raise DataError(
                    f"{path} has an empty PatientID, so its privacy unit is unknown: "
                    "give every file a pseudonym in PatientID."
                )
            without_institution += not institution and request.site is None
            result.entries.append(
                IndexEntry(
                    files=(path,),
                    patient=patient,
                    site=request.site or institution or _folder_site(request.folder, path),
                    label=label_of(None if row is None else dict(row.cells), request.data, labels.table),
                    mask=labels.mask(row),
                    modality=modality,
                    series=series,
                    study=study,
                    **of_study._asdict(),
                )
            )
            result.note(path, header.notes)
        if without_institution:
            what = plural(without_institution, "file has", "files have")
            sentence = f"{what} no InstitutionName, so the name of the folder is taken as the site."
            result.findings.append(DataFinding("site_from_folder", sentence, without_institution))
        result.findings.extend(labels.findings())
        return result


LAYOUT = DicomLayout()


class _Labels:
    """Rows of the label table by the key they name."""

    def __init__(self, request: Request) -> None:
        self.table: Table | None = request.table
        self._request = request
        self._rows: dict[str, TableRow] = {}
        self._used: set[str] = set()
        self._key = KEYS[0]
        if self.table is None:
            return
        key = next((key for key in KEYS if key in self.table.columns), None)
        if key is None:
            raise DataError(
                f"{self.table.path.name} has none of the columns {', '.join(KEYS)}: "
                "add the one that says which DICOM files a row is about."
            )
        self._key = key
        if request.data.columns.mask is not None:
            self.table.require(request.data.columns.mask, "data.columns.mask")
        for row in self.table.rows:
            value = required_cell(self.table, row, key)
            if value in self._rows:
                raise DataError(
                    f"{self.table.path.name} has two rows for {key} {value} "
                    f"(rows {self._rows[value].number} and {row.number}): remove one of them."
                )
            self._rows[value] = row

    def row(self, tags: Any) -> TableRow | None:
        """The row about a file, or None."""
        value = _text(tags, self._key)
        self._used.add(value)
        return self._rows.get(value)

    def mask(self, row: TableRow | None) -> str | None:
        """The mask a row names, or None."""
        column = self._request.data.columns.mask
        if row is None or self.table is None or column is None or not row.cells[column]:
            return None
        path = relative_path(self._request.folder, self.table, row, column)
        if not (self._request.folder / path).is_file():
            raise DataError(
                f"{path} (row {row.number} of {self.table.path.name}) does not exist: correct the path."
            )
        return path

    def findings(self) -> Iterator[DataFinding]:
        """Rows about files that are not there."""
        unused = len(set(self._rows) - self._used)
        if unused and self.table is not None:
            what = plural(unused, "row", "rows")
            sentence = f"{what} of {self.table.path.name} name no DICOM file of the folder."
            yield DataFinding("unused_table_rows", sentence, unused)


def _dicom_files(request: Request) -> Iterator[str]:
    for path in request.files:
        name = PurePosixPath(path)
        known = name.name.lower().endswith(DECODER.supported_file_endings)
        # Only where the name says nothing are the first bytes worth a look.
        if known or (nameless(name) and _recognised(request.folder / path)):
            yield path


def _recognised(path: Path) -> bool:
    try:
        return DECODER.recognises(path)
    except UnreadableError:
        # It may be an image, so the scan shall say that it cannot be read.
        return True


def _folder_site(folder: Path, path: str) -> str:
    parts = PurePosixPath(path).parts
    return parts[0] if len(parts) > 1 else folder.resolve().name


@guarded
def _text(tags: Any, keyword: str) -> str:
    value = tags.get(keyword)
    return "" if value is None else str(value).strip()
