"""The page of the families, and a sheet of pictures for each, from the cells that were trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from cell import PRIVACY, SIZES, Asked, file_of
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fedgen.cli.models import TASKS, reasons, why_not
from fedgen.families.registry import specs
from fedgen.families.spec import FamilySpec

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"
FOLDER, PAGE = DOCS / "families", DOCS / "families.md"
#: Pixels of a picture, of its label and between pictures.
SIDE, LABEL, GAP = 48, 150, 2

Found = Mapping[Asked, tuple[float, NDArray[np.uint8]]]

HEAD = """# Families

Made by `python simulations/zoo/run.py`, which trains each cell: two rounds of one step (or the family's one sum) at
two sites of ten procedural phantoms, with the small networks of the self-test, without privacy and with epsilon 10
at each site. A cell says how many seconds of a core training and drawing took at most, without privacy / with it; a
cell without a run is not claimed. `fedgen models` prints the same table. A row
with an option is another system of the field that the family is with it.

The seconds and the pictures say that data, training, privacy and drawing work together. **They say nothing of
quality**: two rounds of a small network make noise, or show what its public prior knows, and so do a few patients with
privacy. What families are worth is measured in `simulations/`.
"""

WORDS = {
    "class": "an image of a class",
    "nothing": "an image, given nothing",
    "covariates": "an image, given an age and a sex",
    "embedding": "an image, given an embedding (here the mean of each quarter of the image)",
    "pairs": "an image with the mask of its tissues, given a class",
    "translation": "T2w from T1w of the same patient",
    "unpaired": "T2w from T1w of other patients",
}

NOT_THERE = """
No family makes several contrasts of one patient together: a task makes one picture, with or without its mask.
"""


def write_page(found: Found) -> None:
    """Write the page and the sheets; lines and sheets of rows of which no cell was found stay.

    Raises:
        ValueError: one of these has no line on the page, or one for other tasks.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = {row: file_of(row) for spec in specs().values() for row in spec.rows}
    for stale in FOLDER.glob("*.png"):
        if stale.stem not in rows.values():
            stale.unlink()
    parts = [HEAD, *(table(axes, found) for axes in SIZES), _tasks(), _reasons()]
    for name, spec in specs().items():
        parts.append(f"## {name}\n\n{spec.summary}\n")
        for row in spec.rows:
            own = {asked: cell for asked, cell in found.items() if asked.row == row}
            if own:
                sheet(own).save(FOLDER / f"{rows[row]}.png", optimize=True)
            parts.append(f"![{row}](families/{rows[row]}.png)\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def table(axes: int, found: Found) -> str:
    """The table of images of so many axes, in Markdown."""
    size = " x ".join(str(side) for side in SIZES[axes])
    lines = [f"## {axes}D ({size})", "", _head(), "|---" * (1 + len(TASKS)) + "|"]
    made, kept = {asked.row for asked in found}, _written(axes)
    for spec in specs().values():
        for row in spec.rows:
            line = f"| {_code(row)} | {' | '.join(_cells(spec, row, axes, found))} |"
            if row not in made and row not in kept:
                raise ValueError(f"{PAGE.name} has no row of {row} for these tasks: train it too.")
            lines.append(line if row in made else kept[row])
    return "\n".join(lines) + "\n"


def _head() -> str:
    return f"| family | {' | '.join(TASKS)} |"


def _written(axes: int) -> dict[str, str]:
    """Lines of the page's table of so many axes, by their row; none where it is of other tasks."""
    if not PAGE.exists():
        return {}
    part = PAGE.read_text(encoding="utf-8").partition(f"## {axes}D ")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    if lines[:1] != [_head()]:
        return {}
    return {line.split("|")[1].strip().replace("`", ""): line for line in lines[2:]}


def _code(row: str) -> str:
    """A row's name with the family's and the option in typewriter letters."""
    return ", ".join(f"`{part}`" for part in row.split(", "))


def _cells(spec: FamilySpec, row: str, axes: int, found: Found) -> Iterator[str]:
    for task in TASKS:
        if why_not(spec, task, axes) is not None:
            yield "no"
            continue
        each = [found.get(Asked(spec.name, task, axes, privacy, row)) for privacy in PRIVACY]
        # A family that is not private has a cell without privacy alone.
        told = [f"{cell[0]:.1f}" for cell in each if cell is not None]
        yield " / ".join(told) + " s" + ("" if spec.private else ", not private")


def _tasks() -> str:
    return "## The tasks\n\n" + "".join(f"* **{task}**: {WORDS[task]}\n" for task in TASKS) + NOT_THERE


def _reasons() -> str:
    lines = [
        f"* `{name}`, not {', '.join(where)}: {why}.\n"
        for name, spec in specs().items()
        for why, where in reasons(spec).items()
    ]
    lines += [
        f"* `{name}` is not trained privately: {spec.why_not}.\n"
        for name, spec in specs().items()
        if not spec.private
    ]
    return "## Why not\n\n" + "".join(lines)


def sheet(own: Found) -> Image.Image:
    """A row a cell: its name, and what it draws; of pairs image and mask, of volumes the middle slice."""
    rows = [(asked, row_of(images)) for asked, (_, images) in own.items()]
    width = LABEL + max((row.shape[1] for _, row in rows), default=0)
    made = Image.new("L", (width, max(len(rows), 1) * (SIDE + GAP)), 255)
    pen = ImageDraw.Draw(made)
    for number, (asked, row) in enumerate(rows):
        top = number * (SIDE + GAP)
        said = [f"{asked.task} {asked.axes}D", asked.privacy if asked.privacy != "none" else "no privacy"]
        said += asked.row.split(", ")[1:]
        for line, text in enumerate(said):
            pen.text((2, top + 2 + 15 * line), text, fill=0)
        made.paste(Image.fromarray(row), (LABEL, top))
    return made


def row_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, C, *size) as one row of gray pictures: all channels after the first in shades of one."""
    flat = images[:, :, images.shape[2] // 2] if images.ndim == 5 else images
    parts = []
    for image in flat:
        parts.append(image[0])
        if len(image) > 1:
            inside = image[1:].max(axis=0) > 127
            parts.append(
                np.where(inside, 85 * (image[1:].argmax(axis=0) + 1), 0).clip(0, 255).astype(np.uint8)
            )
    resized = [
        np.asarray(Image.fromarray(part).resize((SIDE, SIDE), Image.Resampling.NEAREST)) for part in parts
    ]
    gap = np.full((SIDE, GAP), 255, np.uint8)
    return np.hstack([each for part in resized for each in (part, gap)])
