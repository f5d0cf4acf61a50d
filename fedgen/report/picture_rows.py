"""The rows of pictures that were drawn of a run, read for a page: names and PNG files, and nothing that draws."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedgen.errors import DataError

REAL_VS_SYNTHETIC = "real_vs_synthetic"
SYNTHETIC = "synthetic"
NEIGHBOURS = "neighbours"
TRANSLATIONS = "translations"
#: Kind of a row that shows no patient.
MADE = "synthetic"


@dataclass(frozen=True)
class PictureRow:
    """A row of tiles as the page shows it; `tiles` are PNG data URIs."""

    group: str
    kind: str
    label: str
    captions: tuple[str, ...]
    tiles: tuple[str, ...]


def read_rows(figures: Path, name: str) -> list[PictureRow]:
    """The rows of a picture, tiles embedded; an empty list where it was not drawn.

    Raises:
        DataError: a tile or the list is damaged or missing.
    """
    index = figures / f"{name}.json"
    if not index.is_file():
        return []
    try:
        rows = json.loads(index.read_text(encoding="utf-8"))["rows"]
        return [_row(figures / name, row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{index} or one of its tiles is damaged ({error}): run the stage that draws it again."
        ) from None


def _row(folder: Path, row: dict[str, Any]) -> PictureRow:
    # Only the file's own name counts, so a list from elsewhere cannot pull other files into the page.
    tiles = (base64.b64encode((folder / Path(file).name).read_bytes()).decode() for file in row["files"])
    return PictureRow(
        group=str(row["group"]),
        kind=str(row["kind"]),
        label=str(row["label"]),
        captions=tuple(map(str, row["captions"])),
        tiles=tuple(f"data:image/png;base64,{tile}" for tile in tiles),
    )
