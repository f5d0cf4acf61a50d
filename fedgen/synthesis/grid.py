"""Image grids for people: rows of pictures with their names, as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from fedgen.synthesis.formats import PNG_SOFTWARE, picture_of, to_uint8

#: A row of a grid: its name and its images, each (C, H, W) in [-1, 1], or (C, D, H, W), of which the middle is drawn.
Row = tuple[str, Sequence[Tensor]]


def rows_png(rows: Sequence[Row], *, titles: Sequence[Sequence[str]] | None = None) -> bytes:
    """A PNG with one labelled row of images each.

    Args:
        rows: at least one, each with a name and any number of images of one shape.
        titles: a short text above each image, row by row.
    """
    rows = [(name, [picture_of(image) for image in images]) for name, images in rows]
    columns = max(1, *(len(images) for _, images in rows))
    first = next((images[0] for _, images in rows if len(images)), torch.zeros(1, 16, 16))
    height, width = first.shape[1:]
    across, down = round(width * 1.06), round(height * (1.25 if titles else 1.06))
    # One picture of all tiles, instead of axes for each, is a hundred times faster.
    canvas = np.full((down * len(rows), across * columns, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(columns, len(rows) * down / across), dpi=120)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    for r, (name, images) in enumerate(rows):
        top = r * down + down - height
        for c, image in enumerate(images):
            pixels = to_uint8(image)
            tile = pixels if pixels.ndim == 3 else pixels[:, :, None]
            canvas[top : top + height, c * across : c * across + width] = tile
        # A dollar sign in a class or site name is no formula.
        axes.text(-across / 16, top + height / 2, name, fontsize=8, ha="right", va="center", parse_math=False)
        for c, title in enumerate(titles[r] if titles else ()):
            place = (c * across, top - height / 32)
            axes.text(*place, title, fontsize=5, ha="left", va="bottom", parse_math=False)
    axes.imshow(canvas, interpolation="nearest")
    buffer = io.BytesIO()
    metadata = {"Software": PNG_SOFTWARE}
    figure.savefig(buffer, format="png", metadata=metadata, bbox_inches="tight", pad_inches=0.05)
    return buffer.getvalue()


def pick(images: Tensor, labels: Tensor, label: int, count: int) -> list[Tensor]:
    """Up to `count` images of one class, spread evenly over the set; always the same ones."""
    found = torch.nonzero(labels == label).flatten()
    if not len(found):
        return []
    places = torch.linspace(0, len(found) - 1, min(count, len(found))).round().long()
    return [images[int(index)].float() for index in found[places]]


def sample_grid(images: Tensor, labels: Tensor, classes: tuple[str, ...], per_class: int = 8) -> bytes:
    """A PNG with one row a class.

    Args:
        images: (n, C, H, W) in [-1, 1].
        labels: (n,) class index.
        classes: class names in the order of their index.
        per_class: at most this many images a row.
    """
    return rows_png([(name, pick(images, labels, label, per_class)) for label, name in enumerate(classes)])
