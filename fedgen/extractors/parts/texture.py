"""Texture features: gray level co-occurrence (Haralick 1973) and local binary patterns (Ojala 2002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

FloatArray = NDArray[np.float64]

#: gray levels of the co-occurrence matrix: equal bins of [0, 1], so that levels mean the same in all images
LEVELS = 16
#: offsets of the co-occurrence matrix in pixels
DISTANCES = (1, 2, 4)
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy")
#: radii in pixels of the local binary patterns, each with 8 neighbours and rotation-invariant uniform codes
RADII = (1, 2)
NEIGHBOURS = 8
CODES = NEIGHBOURS + 2

NAMES = (
    *(f"glcm_{name}_d{d}" for name in PROPERTIES for d in DISTANCES),
    # The codes' shares sum to one, so the last one says nothing new.
    *(f"lbp_r{r}_{code}" for r in RADII for code in range(CODES - 1)),
)


def texture(gray: FloatArray) -> FloatArray:
    """Texture features of (n, H, W) images in [0, 1]; shape (n, len(NAMES))."""
    return np.concatenate([_glcm(gray), np.stack([_lbp(image) for image in gray])], axis=1)


def _glcm(gray: FloatArray) -> FloatArray:
    """Co-occurrence properties, averaged over the four directions; shape (n, properties x distances)."""
    levels = np.clip((gray * LEVELS).astype(np.uint8), 0, LEVELS - 1)
    matrices = [
        graycomatrix(image, DISTANCES, ANGLES, levels=LEVELS, symmetric=True, normed=True) for image in levels
    ]
    # Properties know neither images nor distances: one call takes the matrices of all images side by side.
    together = np.concatenate(matrices, axis=2)
    properties = [
        graycoprops(together, name).mean(axis=1).reshape(len(gray), len(DISTANCES)) for name in PROPERTIES
    ]
    return np.concatenate(properties, axis=1)


def _lbp(image: FloatArray) -> FloatArray:
    """Shares of the uniform codes; 8-bit values, because ties among floats would hang on rounding."""
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    shares = []
    for radius in RADII:
        codes = local_binary_pattern(pixels, NEIGHBOURS, radius, method="uniform").astype(np.int64)
        shares.append(np.bincount(codes.ravel(), minlength=CODES)[:-1] / codes.size)
    return np.concatenate(shares)
