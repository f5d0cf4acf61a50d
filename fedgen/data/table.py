"""Tables that list images (CSV or TSV), read as text with the row numbers a person sees in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedgen.data.findings import listing
from fedgen.errors import DataError

TABLE_ENDINGS = (".csv", ".tsv")
_WELL_KNOWN = ("metadata", "participants", "labels")


@dataclass(frozen=True)
class TableRow:
    """One line of a table; `number` counts the header as row 1."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A header and its rows; every cell is stripped text."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

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
    """Read a table; comma, semicolon or tab, whichever the header line holds most of.

    Raises:
        DataError: the file is absent, empty, not UTF-8, or a row has more cells than the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text: save it as UTF-8 CSV.") from None
    except OSError as error:
        raise DataError(f"Cannot read {path} ({error.strerror}): mend it, or name another.") from None
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        lines = list(csv.reader(text.splitlines(), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path} is not a table ({error}): save it as UTF-8 CSV.") from None
    if not lines or not any(cell.strip() for cell in lines[0]):
        raise DataError(f"{path} is empty: it needs a header line and one row an image.")
    columns = tuple(cell.strip() for cell in lines[0])
    twice = {column for column in columns if column and columns.count(column) > 1}
    if twice:
        raise DataError(f"{path} names the column {listing(sorted(twice))} twice: rename one of them.")
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise DataError(
                f"{path.name} row {number} has {len(cells)} cells but the header has {len(columns)}: "
                "quote cells that contain the separator."
            )
        padded = [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells))
        rows.append(TableRow(number, dict(zip(columns, padded, strict=True))))
    return Table(path, columns, tuple(rows))


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
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_ENDINGS)
    by_name = ([path for path in tables if path.stem.lower() == name] for name in _WELL_KNOWN)
    candidates = next((paths for paths in by_name if paths), tables)
    if len(candidates) > 1:
        names = listing(path.name for path in candidates)
        raise DataError(
            f"{folder} holds several tables ({names}): keep one, or name the one that lists the images metadata."
        )
    return candidates[0] if candidates else None
