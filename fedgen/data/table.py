"""Tables that list images (CSV, TSV or workbook), read as text with the row numbers a person sees in a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedgen.data.findings import listing
from fedgen.data.identity import composed
from fedgen.data.table_text import WORKBOOK_ENDING, cells_of, without_empty_end
from fedgen.errors import DataError

TABLE_ENDINGS = (".csv", ".tsv", WORKBOOK_ENDING)
_WELL_KNOWN = ("metadata", "participants", "labels")


@dataclass(frozen=True)
class TableRow:
    """One line of a table; `number` counts the header as row 1."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A header and its rows; every cell is stripped text in Unicode's composed form.

    Attributes:
        path: the file.
        columns: the header's cells.
        rows: those that are not empty.
        note: completes the sentence "NAME ...": what a person should know of how it was read; or empty.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    note: str = ""

    def require(self, column: str, key: str) -> None:
        """Check that `column` exists; `key` is the study key that names it.

        Raises:
            DataError: naming the columns that do exist.
        """
        if column not in self.columns:
            raise DataError(
                f"{self.path.name} has no column {column!r} (it has {listing(self.columns, 30)}): "
                f"name the right one with {key}."
            )


def read_table(path: Path) -> Table:
    """Read a table; what separates its cells is told by a first line `sep=;`, or is what the header holds most of.

    Raises:
        DataError: the file is absent, empty, of no known encoding, or a row has more cells than the header.
    """
    lines, note = cells_of(path)
    columns = tuple(composed(cell.strip()) for cell in without_empty_end(lines[0])) if lines else ()
    if not columns:
        raise DataError(f"{path} is empty: it needs a header line and one row an image.")
    twice = {column for column in columns if column and columns.count(column) > 1}
    if twice:
        raise DataError(f"{path} names the column {listing(sorted(twice))} twice: rename one of them.")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = without_empty_end(line)
        if not cells:
            continue
        if len(cells) > len(columns):
            raise DataError(
                f"{path.name} row {number} has {len(cells)} cells but the header has {len(columns)}: "
                "quote cells that contain the separator."
            )
        padded = [composed(cell.strip()) for cell in cells] + [""] * (len(columns) - len(cells))
        rows.append(TableRow(number, dict(zip(columns, padded, strict=True))))
    return Table(path, columns, tuple(rows), note)


def tables_of(folder: Path) -> list[Path]:
    """The tables at the top of `folder`, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in TABLE_ENDINGS and not path.name.startswith((".", "~$")) and path.is_file()
    )


def find_table(folder: Path, given: Path | None = None) -> Path | None:
    """The table that describes `folder`: the given one, a well-known name, or the only one at its top.

    Well-known are `metadata`, `participants` (BIDS) and `labels` (beside DICOM), in this order.

    Returns:
        The path, or None where there is no table.

    Raises:
        DataError: several tables and none has a well-known name.
    """
    if given is not None:
        return given
    tables = tables_of(folder)
    by_name = ([path for path in tables if path.stem.lower() == name] for name in _WELL_KNOWN)
    candidates = next((paths for paths in by_name if paths), tables)
    if len(candidates) > 1:
        names = listing(path.name for path in candidates)
        raise DataError(
            f"{folder} holds several tables ({names}): keep one, or name the one that lists the images metadata."
        )
    return candidates[0] if candidates else None
