"""Which layout reads a folder; a layout is one module of this folder, found by walking it."""

from __future__ import annotations

from functools import cache

from fedgen.data import layouts
from fedgen.data.layouts.layout import FolderLayout, Request
from fedgen.data.offered import offered
from fedgen.errors import DataError


@cache
def by_precedence() -> tuple[FolderLayout, ...]:
    """Every layout, in the order they are tried.

    Raises:
        DataError: two have the same name or the same precedence.
    """
    found: list[FolderLayout] = []
    for layout in offered(layouts, "LAYOUT", FolderLayout):  # type: ignore[type-abstract]
        for other in found:
            if layout.name == other.name or layout.precedence == other.precedence:
                raise DataError(
                    f"{type(other).__name__} and {type(layout).__name__} have the same name or precedence: "
                    "give one of them another."
                )
        found.append(layout)
    return tuple(sorted(found, key=lambda layout: layout.precedence))


def layout_for(request: Request) -> FolderLayout:
    """The first layout that matches.

    Raises:
        DataError: the folder is empty, or nothing matches.
    """
    if not request.files:
        raise DataError(f"{request.folder} is empty: give the folder that holds the images.")
    for layout in by_precedence():
        if layout.matches(request):
            return layout
    if request.table is not None:
        request.table.require(request.data.columns.image, "data.columns.image")
    raise DataError(
        f"{request.folder} has no table and no DICOM files: add a metadata.csv that lists the images "
        "(columns image, patient, site, label), or a participants.tsv beside BIDS folders."
    )
