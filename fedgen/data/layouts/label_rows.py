"""The table of labels and masks beside DICOM files: which of its rows is about a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from fedgen.data.decoders.guard import is_there
from fedgen.data.findings import DataFinding, plural
from fedgen.data.identity import composed, difference, form, is_missing
from fedgen.data.layouts.dicom_masks import asked_kind
from fedgen.data.layouts.layout import Request
from fedgen.data.layouts.named_masks import is_mask_rule
from fedgen.data.layouts.table import relative_path
from fedgen.data.table import Table, TableRow
from fedgen.errors import DataError

#: Columns a label table may be keyed by, the most specific first.
KEYS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")


class LabelRows:
    """Rows of the label table by the key they name.

    Raises:
        DataError: the table has none of `KEYS`, or two rows for one key.
    """

    def __init__(self, request: Request) -> None:
        self.table: Table | None = request.table
        self._request = request
        self._rows: dict[str, TableRow] = {}
        self._forms: dict[str, str] = {}
        self._used: set[str] = set()
        self._alike: Counter[str] = Counter()
        self._without_key = 0
        self._key = KEYS[0]
        mask = request.data.columns.mask
        self._mask_column = None if asked_kind(mask)[0] or is_mask_rule(mask) else mask
        if self.table is None:
            return
        key = next((key for key in KEYS if key in self.table.columns), None)
        if key is None:
            raise DataError(
                f"{self.table.path.name} has none of the columns {', '.join(KEYS)}: "
                "add the one that says which DICOM files a row is about."
            )
        self._key = key
        if self._mask_column is not None:
            self.table.require(self._mask_column, "data.columns.mask")
        if request.data.columns.embedding is not None:
            self.table.require(request.data.columns.embedding, "data.columns.embedding")
        for row in self.table.rows:
            value = row.cells[key]
            if is_missing(value):
                self._without_key += 1
                continue
            if value in self._rows:
                raise DataError(
                    f"{self.table.path.name} has two rows for one {key} "
                    f"(rows {self._rows[value].number} and {row.number}): remove one of them."
                )
            self._rows[value] = row
            self._forms[form(value)] = value

    @property
    def of_single_images(self) -> bool:
        """Whether each row is about one image, so that the images of a series may differ in label and mask."""
        return self.table is not None and self._key == "SOPInstanceUID"

    def row(self, tags: Any) -> TableRow | None:
        """The row about a file, or None."""
        stored = tags.get(self._key)
        value = "" if stored is None else composed(str(stored).strip())
        self._used.add(value)
        found = self._rows.get(value)
        if found is None and value:
            near = self._forms.get(form(value))
            if near is not None:
                self._alike[difference(value, near)] += 1
        return found

    def mask(self, row: TableRow | None) -> str | None:
        """The mask a row names, or None."""
        return None if self._mask_column is None else self._file(row, self._mask_column)

    def embedding(self, row: TableRow | None) -> str | None:
        """The embedding a row names, or None."""
        column = self._request.data.columns.embedding
        return None if column is None else self._file(row, column)

    def _file(self, row: TableRow | None, column: str) -> str | None:
        if row is None or self.table is None:
            return None
        if is_missing(row.cells[column]):
            return None
        path = relative_path(self._request.folder, self.table, row, column)
        if not is_there(self._request.folder / path):
            raise DataError(
                f"{path} (row {row.number} of {self.table.path.name}) does not exist: correct the path."
            )
        return path

    def findings(self) -> Iterator[DataFinding]:
        """Rows about files that are not there, and files whose row is spelled in another form."""
        if self.table is None:
            return
        name = self.table.path.name
        for what, count in sorted(self._alike.items()):
            sentence = (
                f"{plural(count, 'file has', 'files have')} a {self._key} that {name} spells otherwise ({what}), so "
                "no label: write that column as the files have it, as text where a spreadsheet saves it."
            )
            yield DataFinding("labels_spelled_otherwise", sentence, count)
        unused = len(set(self._rows) - self._used)
        if unused:
            names = "names" if unused == 1 else "name"
            sentence = f"{plural(unused, 'row')} of {name} {names} no DICOM file of the folder."
            yield DataFinding("unused_table_rows", sentence, unused)
        if self._without_key:
            count = self._without_key
            sentence = f"{plural(count, 'row has', 'rows have')} no {self._key} in {name} and say nothing."
            yield DataFinding("unused_table_rows", sentence, count)
