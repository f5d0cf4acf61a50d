"""Layout `table`: images listed by a CSV or TSV file."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import ClassVar

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import (
    FolderLayout,
    Problem,
    Request,
    Scan,
    cut_axis,
    files_of,
    label_of,
    taken,
)
from fedgen.data.table import Table, TableRow
from fedgen.errors import DataError


class TableLayout(FolderLayout):
    """One row an image; `data.columns` names the columns, `modality` and `series` are read where present."""

    name: ClassVar[str] = "table"
    # A table that lists images says more than the files themselves, so it is asked before DICOM tags are.
    precedence: ClassVar[int] = 20

    def matches(self, request: Request) -> bool:
        """A table with a column of image paths."""
        return request.table is not None and request.data.columns.image in request.table.columns

    def scan(self, request: Request) -> Scan:
        """One entry a row.

        Raises:
            DataError: a missing column, an empty patient, site or image cell, a path outside the folder,
                or an image listed twice.
        """
        assert request.table is not None
        table, columns = request.table, request.data.columns
        for key in ("image", "patient", "site", "mask"):
            column = getattr(columns, key)
            if column is not None and not (key == "site" and request.site is not None):
                table.require(column, f"data.columns.{key}")
        result = Scan(self.name)
        first_row: dict[str, int] = {}
        for row in table.rows:
            path = relative_path(request.folder, table, row, columns.image)
            if path in first_row:
                raise DataError(
                    f"{table.path.name} lists {path} twice (rows {first_row[path]} and {row.number}): "
                    "remove one of them."
                )
            first_row[path] = row.number
            self._scan_row(request, table, row, path, result)
        return result

    def _scan_row(self, request: Request, table: Table, row: TableRow, path: str, result: Scan) -> None:
        columns = request.data.columns
        patient = required_cell(table, row, columns.patient)
        site = request.site or required_cell(table, row, columns.site)
        modality, series = row.cells.get("modality", ""), row.cells.get("series", "")
        label = label_of(dict(row.cells), request.data, table)
        if not request.wants(modality, series):
            result.excluded[f"other modality ({modality or series or 'none given'})"] += 1
            return
        where = f"row {row.number} of {table.path.name}"
        file = request.folder / path
        try:
            header = decoder_for(file).header(file, cut_axis(request.data))
            of_study = taken(header, request.data)
        except UnreadableError as error:
            missing = not file.exists()
            result.problems.append(Problem(path, "does not exist" if missing else str(error), where))
            return
        mask = None
        if columns.mask is not None and row.cells[columns.mask]:
            mask = relative_path(request.folder, table, row, columns.mask)
            if not (request.folder / mask).is_file():
                result.problems.append(Problem(mask, "does not exist", where))
                return
        result.entries.append(
            IndexEntry(
                files=files_of(path, header),
                patient=patient,
                site=site,
                label=label,
                mask=mask,
                modality=modality,
                series=series,
                study=row.cells.get("study", ""),
                **of_study._asdict(),
            )
        )
        result.note(path, header.notes)


LAYOUT = TableLayout()


def required_cell(table: Table, row: TableRow, column: str) -> str:
    """A cell that must not be empty.

    Raises:
        DataError: it is empty.
    """
    value = row.cells[column]
    if not value:
        raise DataError(
            f"{table.path.name} row {row.number} has an empty {column!r}: fill it in or remove the row."
        )
    return value


def relative_path(folder: Path, table: Table, row: TableRow, column: str) -> str:
    """The file a cell names, relative to `folder`; the cell itself is relative to the table.

    Raises:
        DataError: the cell is empty or leads out of the folder.
    """
    cell = required_cell(table, row, column).replace("\\", "/")
    inside = os.path.relpath(os.path.normpath(table.path.parent / cell), folder).replace(os.sep, "/")
    if inside.startswith("../") or PurePosixPath(cell).is_absolute():
        raise DataError(
            f"{table.path.name} row {row.number} names {cell}, which is not inside {folder}: "
            "use paths inside the folder, relative to the table."
        )
    return inside
