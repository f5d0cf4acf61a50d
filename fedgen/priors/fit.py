"""A prior from public images: their principal components."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from fedgen.errors import DataError
from fedgen.priors.linear_space import LinearSpace
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
    require_images(len(images), d, donors)
    space, explained = principal(images, d, seed)
    return Prior(space, chosen(images, donors, seed)), explained


def require_images(n: int, d: int, donors: int) -> None:
    """Refuse too few images.

    Raises:
        DataError: there are.
    """
    if d >= n or donors > n:
        raise DataError(
            f"{n} images do not give {d} components and {donors} donors: there must be more images than components, "
            "and as many as donors."
        )


def principal(points: NDArray[np.float32], d: int, seed: int) -> tuple[LinearSpace, float]:
    """The space of the first d principal components of points (n, ...), n > d, and their share of the variance.

    Raises:
        DataError: the points differ in fewer directions.
    """
    flat = points.reshape(len(points), -1).astype(np.float64)
    if d > flat.shape[1]:
        raise DataError(f"{flat.shape[1]} numbers an image do not give {d} components: ask for fewer.")
    pca = PCA(n_components=d, random_state=seed).fit(flat)
    stds = np.sqrt(pca.explained_variance_)
    if not (stds > 1e-6 * max(float(stds[0]), 1.0)).all():
        raise DataError(
            f"The images differ in fewer than {d} directions: ask for fewer components, or give other images."
        )
    shape = points.shape[1:]
    space = LinearSpace(
        torch.from_numpy(pca.mean_.reshape(shape)).float(),
        torch.from_numpy(pca.components_.reshape(d, *shape)).float(),
        torch.from_numpy(stds).float(),
    )
    return space, float(min(1.0, pca.explained_variance_ratio_.sum()))


def chosen(images: NDArray[np.float32], n: int, seed: int) -> Tensor:
    """n of the images, drawn without replacement, in their order."""
    kept = np.sort(np.random.default_rng(seed).permutation(len(images))[:n])
    return torch.from_numpy(images[kept]).float()
