"""A folder opened before any study is fixed: its table and columns found, its images listed whatever their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedgen.data.folder_scan import files_of, scan
from fedgen.data.inspect.columns import Guess, guess_columns, pick_table
from fedgen.data.layouts.layout import Request, Scan
from fedgen.data.table import Table, read_table
from fedgen.errors import DataError
from fedgen.study.data import Columns, DataSection

#: The single class of a look: it asks for none, so that whatever the folder says of classes is kept.
_ANY = ("any",)
_NO_TABLE = Guess(Columns(), False, (), ())


@dataclass(frozen=True)
class Opened:
    """A folder as far as it can be read without decoding an image.

    Attributes:
        files: every file below it.
        scan: its images and what else it holds.
        table: the table that was used, if any.
        guess: what the table's columns are for.
        said: sentences about tables that were not used.
        several_volumes: whether files hold several volumes each, of which the first was taken.
    """

    files: tuple[str, ...]
    scan: Scan
    table: Table | None
    guess: Guess
    said: tuple[str, ...]
    several_volumes: bool


def open_folder(
    folder: Path,
    *,
    columns: Mapping[str, str] | None = None,
    modality: str | None = None,
    table: Path | None = None,
    site: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Opened:
    """List the images of a folder; what is not given is found out.

    Args:
        folder: images of any layout.
        columns: names of columns by their key of `data.columns`, where a person knows better than their names tell.
        modality: keep one modality or series.
        table: the table, where the folder holds several that could be it.
        site: the one site that all images belong to.
        progress: told (files done, files in all).

    Raises:
        DataError: the folder cannot be read or is empty, is of no known layout, or what was named cannot be used.
    """
    files = files_of(folder)
    if not files:
        raise DataError(f"{folder} is empty: give the folder that holds the images.")
    found, said = (read_table(table), ()) if table is not None else pick_table(folder, files)
    given = columns or {}
    guess = _NO_TABLE if found is None else guess_columns(found, files, folder, given)

    def listed(of: Table | None, what: Guess) -> tuple[Scan, bool]:
        named = what.columns if of is not None else Columns.model_validate(given)
        data = DataSection(labels=_ANY, columns=named, modality=modality)
        seen = scan(Request(folder, files, data, of, site, progress))
        if not any("data.volume" in problem.reason for problem in seen.problems):
            return seen, False
        first = data.model_copy(update={"volume": 0})
        return scan(Request(folder, files, first, of, site, progress)), True

    try:
        seen, several = listed(found, guess)
    except DataError as error:
        if found is None or table is not None or given or modality is not None:
            raise
        # A table that describes something else is no reason not to look at the images.
        said, found, guess = (*said, str(error)), None, _NO_TABLE
        try:
            seen, several = listed(None, guess)
        except DataError:
            raise error from None
    return Opened(files, seen, found, guess, said, several)
