"""Filter features: gradients, Laplacian of Gaussian and Haar wavelet, as in radiomics' filtered images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedgen.extractors.parts.first_order import moments

FloatArray = NDArray[np.float64]

#: bins over [0, pi) of the gradient's direction, weighted by its magnitude
ORIENTATIONS = 8
#: scales in pixels of the Laplacian of Gaussian
SIGMAS = (1.0, 2.0, 4.0)
#: levels of the Haar wavelet
WAVELET_LEVELS = 3

NAMES = (
    *(f"gradient_{name}" for name in ("mean", "std", "skewness", "kurtosis", "percentile_90")),
    *(f"orientation_{i}" for i in range(ORIENTATIONS)),
    *(f"log_{s:g}_{name}" for s in SIGMAS for name in ("mean", "std", "skewness", "kurtosis")),
    *(
        f"haar_{level}_{band}_{name}"
        for level in range(1, WAVELET_LEVELS + 1)
        for band in ("LH", "HL", "HH")
        for name in ("std", "kurtosis")
    ),
)


def filters(gray: FloatArray) -> FloatArray:
    """Filter features of (n, H, W) images in [0, 1]; shape (n, len(NAMES))."""
    return np.concatenate([_gradient(gray), _laplacian_of_gaussian(gray), _haar(gray)], axis=1)


def _gradient(gray: FloatArray) -> FloatArray:
    # Sobel by its two factors: ndimage.sobel would smooth across the images of the batch as well.
    steps = [ndimage.correlate1d(gray, [-1, 0, 1], axis=axis) for axis in (1, 2)]
    along = [
        ndimage.correlate1d(step, [1, 2, 1], axis=axis) / 8 for step, axis in zip(steps, (2, 1), strict=True)
    ]
    magnitude = np.hypot(*along).reshape(len(gray), -1)
    direction = (np.arctan2(*along) % np.pi).reshape(len(gray), -1)
    bins = np.minimum((direction * ORIENTATIONS / np.pi).astype(np.int64), ORIENTATIONS - 1)
    histogram = np.stack([(magnitude * (bins == i)).mean(axis=1) for i in range(ORIENTATIONS)], axis=1)
    skewness, kurtosis = moments(magnitude)
    summary = [
        magnitude.mean(axis=1),
        magnitude.std(axis=1),
        skewness,
        kurtosis,
        np.percentile(magnitude, 90, axis=1),
    ]
    return np.concatenate([np.stack(summary, axis=1), histogram], axis=1)


def _laplacian_of_gaussian(gray: FloatArray) -> FloatArray:
    columns = []
    for sigma in SIGMAS:
        # sigma^2 makes responses comparable across scales (Lindeberg 1998).
        # ndimage.gaussian_laplace would differentiate across the images of the batch as well.
        along = [
            ndimage.gaussian_filter(gray, (0, sigma, sigma), order=order) for order in ((0, 2, 0), (0, 0, 2))
        ]
        response = sigma**2 * (along[0] + along[1]).reshape(len(gray), -1)
        columns += [response.mean(axis=1), response.std(axis=1), *moments(response)]
    return np.stack(columns, axis=1)


def _haar(gray: FloatArray) -> FloatArray:
    """Orthonormal Haar transform (Mallat 1989); an odd last row or column is left out of its level."""
    columns = []
    low = gray
    for _ in range(WAVELET_LEVELS):
        height, width = low.shape[1] // 2 * 2, low.shape[2] // 2 * 2
        a, b = low[:, 0:height:2, 0:width:2], low[:, 0:height:2, 1:width:2]
        c, d = low[:, 1:height:2, 0:width:2], low[:, 1:height:2, 1:width:2]
        low = (a + b + c + d) / 2
        for band in ((a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2):
            flat = band.reshape(len(gray), -1)
            columns += [flat.std(axis=1), moments(flat)[1]]
    return np.stack(columns, axis=1)
