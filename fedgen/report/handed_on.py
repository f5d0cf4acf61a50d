"""The report for other eyes than those of whoever has the patients: in a release, and at a tracker."""

from __future__ import annotations

import re
from datetime import datetime

from fedgen.errors import DataError
from fedgen.report.page import render
from fedgen.report.picture_rows import MADE, REAL_VS_SYNTHETIC, SYNTHETIC, read_rows
from fedgen.run_view import RunView

_PICTURE = re.compile(r"data:image/(?!svg\+xml)[^\"')\s]+")


def page_for_others(view: RunView, *, now: datetime | None = None) -> str:
    """The report without a patient; `now` is the time printed at its end.

    Raises:
        DataError: it would hold a picture that was not drawn by the model.
    """
    page = render(view, now=now, patients=False)
    _require_no_patient(view, page)
    return page


def _require_no_patient(view: RunView, page: str) -> None:
    """Refuse a page with any picture that was not drawn by the model, wherever in the report it comes from."""
    drawn = {
        tile
        for name in (REAL_VS_SYNTHETIC, SYNTHETIC)
        for row in read_rows(view.run.figures, name)
        if row.kind == MADE
        for tile in row.tiles
    }
    others = set(_PICTURE.findall(page)) - drawn
    if others:
        raise DataError(
            f"The report would hold {len(others)} pictures that are not the model's, and they may be patients': "
            "this is a defect of the report, and nothing was handed on."
        )
