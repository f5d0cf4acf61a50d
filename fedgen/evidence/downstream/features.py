"""What the linear judges look at, each blind to something else: filters and a thumbnail, oriented gradients, pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import hog
from torch import Tensor
from torch.nn import functional

from fedgen.evidence.known_features import extract, known
from fedgen.extractors.registry import build_extractor

FloatArray = NDArray[np.float64]
#: (n, C, H, W) images in [-1, 1] -> (n, f) float32 or float64
Features = Callable[[Tensor], NDArray[Any]]

#: Side of the thumbnail, in pixels.
THUMBNAIL = 8
#: Cells along an image's shorter side, cells along a block that is normalised together, and orientations of a gradient.
CELLS, BLOCK, ORIENTATIONS = 8, 2, 9


def simple_features(images: Tensor) -> FloatArray:
    """Radiomics-like features and a thumbnail of (n, C, H, W) images; (n, f) float64."""
    thumbnail = functional.adaptive_avg_pool2d(_gray(images), THUMBNAIL).flatten(1)
    radiomics = extract(build_extractor("radiomics", images.shape[1]), images)
    return torch.cat([radiomics, thumbnail], dim=1).double().numpy()


def texture_features(images: Tensor) -> NDArray[np.float32]:
    """Histograms of oriented gradients (Dalal and Triggs 2005) of (n, C, H, W) images; (n, f) float32.

    Each block of cells is normalised, so that contrast is no part of them: an image without texture has the
    directions of its noise or of its outline alone.
    """
    if not len(images):
        return np.empty((0, 0), np.float32)
    return known(f"gradients {CELLS} {BLOCK} {ORIENTATIONS}", _gradients, images).numpy()


def _gradients(images: Tensor) -> Tensor:
    gray = _gray(images)[:, 0].double().numpy()
    cell = max(2, round(min(gray.shape[1:]) / CELLS))
    found = [
        hog(image, ORIENTATIONS, pixels_per_cell=(cell, cell), cells_per_block=(BLOCK, BLOCK))
        for image in gray
    ]
    return torch.from_numpy(np.stack(found)).float()


def pixels(images: Tensor) -> FloatArray:
    """The pixels of (n, C, H, W) images; (n, C H W) float64."""
    return images.double().flatten(1).numpy()


def _gray(images: Tensor) -> Tensor:
    return images.float().mean(dim=1, keepdim=True)
