"""Pictures of a run's images: in a simulation real beside synthetic, and nearest neighbours; else synthetic alone.

Each is written twice into `figures/`: one PNG to look at, and single tiles with a JSON list of their rows,
so that the page can lay them out for any width. Those of a simulation show real patients.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.report.picture_rows import MADE, NEIGHBOURS, REAL_VS_SYNTHETIC, SYNTHETIC
from fedgen.run.atomic import write_atomic
from fedgen.synthesis.formats import picture_of, png_bytes
from fedgen.synthesis.grid import pick, rows_png


@dataclass(frozen=True)
class Triple:
    """A synthetic image with the nearest real one on either side of the split.

    Attributes:
        synthetic: (C, H, W) in [-1, 1].
        train: the nearest training image.
        held_out: the nearest image of patients the model never saw.
        distance_train: to `train`, in the audit's distance.
        distance_held_out: to `held_out`.
        site: whose data the neighbours are.
    """

    synthetic: Tensor
    train: Tensor
    held_out: Tensor
    distance_train: float
    distance_held_out: float
    site: str


@dataclass(frozen=True)
class Tiles:
    """A row of images, each (C, H, W) in [-1, 1], as it is drawn and listed for the page."""

    group: str
    kind: str
    label: str
    images: Sequence[Tensor]
    captions: Sequence[str] = ()


def draw_real_vs_synthetic(
    figures: Path,
    sites: Sequence[SiteData],
    synthetic: LabelledImages,
    classes: tuple[str, ...],
    *,
    per_class: int = 8,
) -> Path:
    """A block of rows for each site's training images and one for the synthetic images, a row a class.

    A real row shows at most one image of a patient.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    rows: list[Tiles] = []
    for site in sites:
        images, labels = _one_image_a_patient(site.part(Part.TRAIN))
        rows += [
            Tiles(site.site, "real", name, pick(images, labels, label, per_class))
            for label, name in enumerate(classes)
        ]
    return draw_tiles(figures, REAL_VS_SYNTHETIC, rows + _synthetic_rows(synthetic, classes, per_class))


def draw_synthetic(
    figures: Path, synthetic: LabelledImages, classes: tuple[str, ...], *, per_class: int = 8
) -> Path:
    """A row of synthetic images a class, for a run whose real images stay at their sites.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    return draw_tiles(figures, SYNTHETIC, _synthetic_rows(synthetic, classes, per_class))


def _synthetic_rows(synthetic: LabelledImages, classes: tuple[str, ...], per_class: int) -> list[Tiles]:
    return [
        Tiles("Synthetic", MADE, name, pick(synthetic.images, synthetic.labels, label, per_class))
        for label, name in enumerate(classes)
    ]


def _one_image_a_patient(data: SiteData) -> tuple[Tensor, Tensor]:
    """First image of every (patient, class)."""
    pairs = torch.stack([data.patients, data.labels], dim=1).numpy()
    _, first = np.unique(pairs, axis=0, return_index=True)
    keep = torch.from_numpy(np.sort(first))
    return data.images[keep], data.labels[keep]


def draw_neighbours(figures: Path, triples: Sequence[Triple]) -> Path | None:
    """A row of synthetic, nearest training and nearest held-out image for each triple; None without triples.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    if not triples:
        return None
    rows = [
        Tiles(
            triple.site,
            "neighbours",
            "",
            (triple.synthetic, triple.train, triple.held_out),
            (
                "synthetic",
                f"nearest training, {triple.distance_train:.3g}",
                f"nearest held-out, {triple.distance_held_out:.3g}",
            ),
        )
        for triple in triples
    ]
    return draw_tiles(figures, NEIGHBOURS, rows)


def draw_tiles(figures: Path, name: str, rows: Sequence[Tiles]) -> Path:
    """One PNG of all rows, and single tiles with a list of them.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    rows = [replace(row, images=tuple(picture_of(image) for image in row.images)) for row in rows]
    listed = []
    for r, row in enumerate(rows):
        files = [f"{name}/{r + 1:03d}_{t + 1:02d}.png" for t in range(len(row.images))]
        for file, image in zip(files, row.images, strict=True):
            write_atomic(figures / file, png_bytes(image))
        listed.append(
            {
                "group": row.group,
                "kind": row.kind,
                "label": row.label,
                "captions": list(row.captions),
                "files": files,
            }
        )
    labelled = [(" \u00b7 ".join(filter(None, (row.group, row.label))), row.images) for row in rows]
    titles = [row.captions for row in rows] if any(row.captions for row in rows) else None
    path = figures / f"{name}.png"
    write_atomic(path, rows_png(labelled, titles=titles))
    write_atomic(figures / f"{name}.json", (json.dumps({"rows": listed}, indent=1) + "\n").encode())
    return path
