"""The cells of a table file: CSV or TSV of the encodings that spreadsheets write, or a workbook."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedgen.errors import DataError

WORKBOOK_ENDING = ".xlsx"
#: Excel's own first line, which says what separates the cells.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t]*\s*(?:\r\n|\r|\n)', re.IGNORECASE)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def cells_of(path: Path) -> tuple[list[list[str]], str]:
    """Every line's cells, the header's first, and what a person should know of how they were read.

    Raises:
        DataError: the file is absent, of no known encoding, damaged, or a workbook without its reader.
    """
    try:
        if path.suffix.lower() == WORKBOOK_ENDING:
            return _workbook(path), ""
        text, note = _decoded(path.read_bytes())
    except OSError as error:
        raise DataError(f"Cannot read {path} ({error.strerror}): mend it, or name another.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text of a known encoding: save it as UTF-8 CSV.") from None
    named = _SEPARATOR_LINE.match(text)
    if named:
        # A spreadsheet does not show this line, so it has no row number.
        text = text[named.end() :]
    header = text.partition("\n")[0]
    delimiter = named[1] if named else max(",;\t", key=header.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), note
    except csv.Error as error:
        raise DataError(f"{path} is not a table ({error}): save it as UTF-8 CSV.") from None


def _decoded(content: bytes) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding), ""
    if b"\0" in content:
        # Text has no zero bytes; every second one of UTF-16 without its mark is one.
        even, odd = content[::2].count(0), content[1::2].count(0)
        return content.decode("utf-16-be" if even > odd else "utf-16-le"), ""
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError:
        note = (
            "is not UTF-8 and was read as Windows-1252 (Latin 1): see whether its accented letters are right"
        )
        return content.decode("cp1252"), note


def _workbook(path: Path) -> list[list[str]]:
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{path.name} is a workbook, which openpyxl reads: install fedgen with the extra xlsx, or save it as CSV."
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = [[_text(value) for value in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except OSError:
        raise
    # openpyxl lets whatever its XML and zip readers meet pass.
    except Exception as error:
        raise DataError(
            f"{path.name} cannot be read as a workbook ({type(error).__name__}): save it as CSV."
        ) from error
    return rows


def _text(value: Any) -> str:
    if value is None:
        return ""
    # A workbook knows but one kind of number: an identity 7 is stored as 7.0.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def without_empty_end(cells: Sequence[str]) -> list[str]:
    """The cells up to the last that holds something."""
    kept = list(cells)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept
