"""Two folders of links into the brain images: people of one hospital at three pretended sites, and three real sites."""

from __future__ import annotations

import csv
from pathlib import Path

#: Of the 45 people of one hospital, in the order of their names, the n-th belongs to the n mod 3-th of these.
PRETENDED = ("pretended-a", "pretended-b", "pretended-c")
ONE = "ixi_hammersmith"


def tissue(data: Path, out: Path) -> Path:
    """The people of one hospital, dealt out to three sites."""
    rows = [row for row in _rows(data) if row["site"] == ONE]
    rows.sort(key=lambda row: row["participant_id"])
    for number, row in enumerate(rows):
        row["site"] = PRETENDED[number % len(PRETENDED)]
    return _linked(data, out / "tissue", rows)


def contrasts(data: Path, out: Path) -> Path:
    """The people who have FLAIR, at their own sites."""
    return _linked(data, out / "contrasts", [row for row in _rows(data) if "FLAIR" in row["contrasts"]])


def _rows(data: Path) -> list[dict[str, str]]:
    with (data / "participants.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _linked(data: Path, folder: Path, rows: list[dict[str, str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for subject in {row["participant_id"] for row in rows}:
        link = folder / subject
        if not link.exists():
            link.symlink_to((data / subject).resolve())
    with (folder / "participants.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return folder
