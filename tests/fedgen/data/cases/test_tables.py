"""Tables as spreadsheets, pandas and people save them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from fedgen.data.build import build_index
from fedgen.data.table import find_table, read_table
from fedgen.errors import DataError
from fedgen.study.data import DataSection


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_the_line_that_names_the_separator_is_no_row(
    people: Callable, one_class: DataSection, first: str
) -> None:
    folder = people(["P1", "P2"], delimiter=";", before=first)
    assert build_index(folder, one_class).patients == ("P1", "P2")
    # A spreadsheet shows the header as row 1.
    assert [row.number for row in read_table(folder / "metadata.csv").rows] == [2, 3]


def test_empty_cells_at_the_end_of_a_row_are_nothing(people: Callable, one_class: DataSection) -> None:
    assert len(build_index(people(["P1", "P2"], after=",, "), one_class).patients) == 2


def test_a_cell_too_many_is_refused(people: Callable, one_class: DataSection) -> None:
    with pytest.raises(DataError, match=r"metadata.csv row 2 has 5 cells but the header has 4"):
        build_index(people(["P1", "P2"], after=",x"), one_class)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_of_spreadsheets(people: Callable, one_class: DataSection, encoding: str) -> None:
    index = build_index(people(["Jörg", "Zoë"], encoding=encoding), one_class)
    assert index.patients == ("Jörg", "Zoë")
    # That it was a guess is told.
    assert [finding.kind for finding in index.findings] == (["table_reading"] if encoding == "cp1252" else [])


def test_a_cell_may_hold_lines(people: Callable, one_class: DataSection) -> None:
    folder = people(['"P\n1"', "P2"])
    assert [row.number for row in read_table(folder / "metadata.csv").rows] == [2, 3]
    assert len(build_index(folder, one_class).patients) == 2


def test_a_workbook_is_read_with_its_extra(people: Callable, one_class: DataSection) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    folder = people(["P1", "P2"])
    book = openpyxl.Workbook()
    for row in (
        ("image", "patient", "site", "label", None),
        ("im/0.png", 7, "n", "any"),
        ("im/1.png", 8.0, "n", "any"),
    ):
        book.active.append(row)
    (folder / "metadata.csv").unlink()
    book.save(folder / "metadata.xlsx")
    assert build_index(folder, one_class).patients == ("7", "8")
    book.active["B2"] = datetime.datetime(2020, 3, 1)
    book.save(folder / "metadata.xlsx")
    assert [finding.kind for finding in build_index(folder, one_class).findings] == ["identities_damaged"]


def test_a_workbook_without_its_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match="install fedgen with the extra xlsx, or save it as CSV"):
        read_table(tmp_path / "a.xlsx")


@pytest.mark.parametrize("content", [b"", b"\n\n", b",,\n1,2,3\n"])
def test_a_table_without_a_header_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match="is empty: it needs a header line"):
        read_table(tmp_path / "t.csv")


def test_a_damaged_workbook_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(DataError, match="cannot be read as a workbook"):
        read_table(tmp_path / "t.xlsx")


def test_the_lock_file_of_an_open_workbook_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "~$labels.xlsx").write_bytes(b"x")
    assert find_table(tmp_path) is None
