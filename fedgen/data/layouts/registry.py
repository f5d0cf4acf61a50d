"""The list of layouts, in the order they are tried."""

from __future__ import annotations

from fedgen.data.layouts.bids import BidsLayout
from fedgen.data.layouts.dicom import DicomLayout
from fedgen.data.layouts.layout import FolderLayout, Request
from fedgen.data.layouts.table import TableLayout
from fedgen.errors import DataError

# A table that lists images says more than the files themselves, so it is asked before DICOM tags are.
_LAYOUTS: tuple[FolderLayout, ...] = (BidsLayout(), TableLayout(), DicomLayout())


def layout_for(request: Request) -> FolderLayout:
    """The first layout that matches.

    Raises:
        DataError: the folder is empty, or nothing matches.
    """
    if not request.files:
        raise DataError(f"{request.folder} is empty: give the folder that holds the images.")
    for layout in _LAYOUTS:
        if layout.matches(request):
            return layout
    if request.table is not None:
        request.table.require(request.data.columns.image, "data.columns.image")
    raise DataError(
        f"{request.folder} has no table and no DICOM files: add a metadata.csv that lists the images "
        "(columns image, patient, site, label), or a participants.tsv beside BIDS folders."
    )
