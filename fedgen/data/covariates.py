"""What a table or DICOM tags tell of a patient, as numbers a network can read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.findings import listing
from fedgen.data.identity import is_missing
from fedgen.study.data import Covariate, DataSection

_YEARS = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}


def covariates_of(cells: Mapping[str, str] | None, data: DataSection) -> tuple[float, ...] | None:
    """The numbers of `data.covariates`, side by side; None where a cell says none of one of them.

    Raises:
        UnreadableError: a cell that is no number, or none of the values.
    """
    numbers: list[float] = []
    for name, asked in data.covariates.items():
        cell = "" if cells is None else cells.get(name, "")
        if is_missing(cell):
            return None
        numbers += _numbers(name, cell.strip(), asked)
    return tuple(numbers)


def _numbers(name: str, cell: str, asked: Covariate) -> list[float]:
    if asked.values:
        found = [value.casefold() == cell.casefold() for value in asked.values]
        if not any(found):
            raise UnreadableError(
                f"has {name} {cell!r}, which data.covariates.{name}.values ({listing(asked.values)}) does not list: "
                "list it, or correct it"
            )
        return [float(each) for each in found]
    assert asked.lower is not None and asked.upper is not None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UnreadableError(f"has {name} {cell!r}, which is no number: correct it, or give values")
    share = (value - asked.lower) / (asked.upper - asked.lower)
    return [2 * min(max(share, 0.0), 1.0) - 1]


def cells_of_tags(tags: Any) -> dict[str, str]:
    """`age` in years and `sex`, as DICOM tells them; only what it tells."""
    cells = {}
    age = re.fullmatch(r"(\d{1,3})([DWMY])", str(tags.get("PatientAge", "") or "").strip())
    if age is not None:
        cells["age"] = f"{int(age[1]) / _YEARS[age[2]]:g}"
    sex = str(tags.get("PatientSex", "") or "").strip()
    if sex:
        cells["sex"] = sex
    return cells
