"""Layout `table`: images listed by a table."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import ClassVar

from fedgen.data.covariates import covariates_of
from fedgen.data.decoders.arrays import array_place
from fedgen.data.decoders.decoder import Header, UnreadableError
from fedgen.data.decoders.guard import is_file, is_there
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.identity import is_missing
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.file_names import FileNames
from fedgen.data.layouts.layout import (
    FolderLayout,
    Problem,
    Request,
    Scan,
    cut_axis,
    files_of,
    label_of,
    one_site,
    taken,
)
from fedgen.data.layouts.named_masks import is_mask_rule, set_named_masks
from fedgen.data.table import Table, TableRow
from fedgen.errors import DataError


class TableLayout(FolderLayout):
    """One row an image; `data.columns` names the columns, `modality` and `series` are read where present."""

    name: ClassVar[str] = "table"
    # A table that lists images says more than the files themselves, so it is asked before DICOM tags are.
    precedence: ClassVar[int] = 20
    unused: ClassVar[str] = "image that the table does not list"

    def matches(self, request: Request) -> bool:
        """A table with a column of image paths."""
        return request.table is not None and request.data.columns.image in request.table.columns

    def scan(self, request: Request) -> Scan:
        """One entry a row.

        Raises:
            DataError: a missing column, an empty site or image cell, a path outside the folder, or an image listed
                twice.
        """
        assert request.table is not None
        table, columns = request.table, request.data.columns
        result = Scan(self.name)
        site = one_site(request, result)
        by_name = is_mask_rule(columns.mask)
        for key in ("image", "patient", "site", "mask", "embedding"):
            column = getattr(columns, key)
            told_otherwise = (key == "site" and site is not None) or (key == "mask" and by_name)
            if column is not None and not told_otherwise:
                table.require(column, f"data.columns.{key}")
        names = FileNames(request.files)
        first_row: dict[str, int] = {}
        for row in request.watched(table.rows):
            path = names.stored(relative_path(request.folder, table, row, columns.image))
            if path in first_row:
                raise DataError(
                    f"{table.path.name} lists {path} twice (rows {first_row[path]} and {row.number}): "
                    "remove one of them."
                )
            first_row[path] = row.number
            self._scan_row(request, table, row, path, names, site, result)
        if by_name:
            set_named_masks(request, result)
        return result

    def _scan_row(
        self,
        request: Request,
        table: Table,
        row: TableRow,
        path: str,
        names: FileNames,
        site: str | None,
        result: Scan,
    ) -> None:
        columns = request.data.columns
        where = f"row {row.number} of {table.path.name}"
        modality, series = row.cells.get("modality", ""), row.cells.get("series", "")
        if not request.wants(modality, series):
            result.leave_out(path, f"other modality ({modality or series or 'none given'})")
            return
        patient = row.cells[columns.patient]
        if is_missing(patient):
            said = f"the word {patient!r}, which means none, for a patient" if patient else "no patient"
            result.problems.append(
                Problem(path, f"has {said}: give every patient a pseudonym of their own", where)
            )
            return
        file = request.folder / path
        try:
            covariates = covariates_of(row.cells, request.data)
        except UnreadableError as error:
            result.problems.append(Problem(path, str(error), where))
            return
        try:
            inside = array_place(request.folder, path)
            if inside is None:
                header = decoder_for(file).header(file, cut_axis(request.data))
                of_study = taken(header, request.data)
                files = files_of(path, header)
            else:
                # One image of many in a file: the row names its place, and nothing is copied out.
                header = Header(inside[2])
                files, of_study = (inside[0],), taken(header, request.data)._replace(slices=inside[1])
        except UnreadableError as error:
            absent = not is_there(file) and not any(is_file(parent) for parent in file.parents)
            reason = f"does not exist{names.hint(path)}" if absent else str(error)
            result.problems.append(Problem(path, reason, where))
            return
        mask = None
        if (
            columns.mask is not None
            and not is_mask_rule(columns.mask)
            and not is_missing(row.cells[columns.mask])
        ):
            mask = names.stored(relative_path(request.folder, table, row, columns.mask))
            if not is_there(request.folder / mask):
                result.problems.append(Problem(mask, f"does not exist{names.hint(mask)}", where))
                return
        embedding = None
        if columns.embedding is not None:
            embedding = names.stored(relative_path(request.folder, table, row, columns.embedding))
            if not is_there(request.folder / embedding):
                result.problems.append(Problem(embedding, f"does not exist{names.hint(embedding)}", where))
                return
        result.entries.append(
            IndexEntry(
                files=files,
                patient=patient,
                site=site or required_cell(table, row, columns.site),
                label=label_of(row.cells, request.data),
                mask=mask,
                modality=modality,
                series=series,
                study=row.cells.get("study", ""),
                covariates=covariates,
                embedding=embedding,
                **of_study._asdict(),
            )
        )
        result.note(path, header.notes)


LAYOUT = TableLayout()


def required_cell(table: Table, row: TableRow, column: str) -> str:
    """A cell that must say something.

    Raises:
        DataError: it is empty, or a word that means as much.
    """
    value = row.cells[column]
    if is_missing(value):
        has = f"{value!r}, which means nothing, for" if value else "an empty"
        raise DataError(
            f"{table.path.name} row {row.number} has {has} {column!r}: fill it in or remove the row."
        )
    return value


def relative_path(folder: Path, table: Table, row: TableRow, column: str) -> str:
    """The file a cell names, relative to `folder`; the cell itself is relative to the table.

    Raises:
        DataError: the cell is empty or leads out of the folder.
    """
    cell = required_cell(table, row, column).replace("\\", "/")
    inside = os.path.normpath(f"{_place(table.path.parent, folder)}/{cell}").replace(os.sep, "/")
    if inside.startswith("../") or PurePosixPath(cell).is_absolute():
        raise DataError(
            f"{table.path.name} row {row.number} names {cell}, which is not inside {folder}: "
            "use paths inside the folder, relative to the table."
        )
    return inside


@lru_cache(maxsize=8)
def _place(inner: Path, folder: Path) -> str:
    """Where a table's folder lies, relative to `folder`."""
    return os.path.relpath(inner, folder)
