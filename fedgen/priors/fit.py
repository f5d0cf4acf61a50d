"""A prior from public images: their principal components."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from fedgen.errors import DataError
from fedgen.priors.prior import Prior


def fit(images: NDArray[np.float32], d: int, donors: int, seed: int = 0) -> tuple[Prior, float]:
    """The mean and the first d principal components of images, and some of them as donors of texture.

    Args:
        images: (n, C, *size) in [-1, 1].
        d: components, at least 1.
        donors: how many images to keep, chosen at random; at most n.
        seed: the same seed chooses the same.

    Returns:
        the prior, and the share of the images' variance in its components.

    Raises:
        DataError: there are too few images, or they do not differ enough.
    """
    n = len(images)
    if d >= n or donors > n:
        raise DataError(
            f"{n} images do not give {d} components and {donors} donors: there must be more images than components, "
            "and as many as donors."
        )
    flat = images.reshape(n, -1).astype(np.float64)
    pca = PCA(n_components=d, random_state=seed).fit(flat)
    stds = np.sqrt(pca.explained_variance_)
    if not (stds > 1e-6 * max(float(stds[0]), 1.0)).all():
        raise DataError(
            f"The images differ in fewer than {d} directions: ask for fewer components, or give other images."
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:donors])
    shape = images.shape[1:]
    prior = Prior(
        torch.from_numpy(pca.mean_.reshape(shape)).float(),
        torch.from_numpy(pca.components_.reshape(d, *shape)).float(),
        torch.from_numpy(stds).float(),
        torch.from_numpy(images[chosen]).float(),
    )
    return prior, float(min(1.0, pca.explained_variance_ratio_.sum()))
