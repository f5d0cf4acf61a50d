"""What any number of a translation must beat: the source itself, its best linear map, and the mean target.

All are fitted to TRAIN patients in a moment, in closed form. None looks at more than one voxel, so that what a model
has no more of than the linear map, it has of intensities and not of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedgen.evidence.translation.similarity import BACKGROUND


class LinearMap:
    """Least squares of the target's intensity on those of all sources at the same voxel, and a constant.

    Voxels of background, where no source is above the window's lower bound, do not enter, and stay background.
    """

    def __init__(self, weights: Tensor) -> None:
        """With (channels of all sources + 1, channels of the target) weights, the constant last."""
        self._weights = weights

    @staticmethod
    def fit(sources: Tensor, target: Tensor) -> LinearMap:
        """Of (n, S, *size) sources along the channels and (n, C, *size) targets, in [-1, 1]; n may be 0."""
        x, y = _rows(sources), _rows(target)
        inside = (x > BACKGROUND - 1).any(dim=1)
        design = torch.cat([x[inside], torch.ones(int(inside.sum()), 1)], dim=1).double()
        # By the normal equations, a pass over voxels; a ridge far below any intensity keeps them solvable.
        gram = design.T @ design + 1e-6 * torch.eye(design.shape[1], dtype=torch.float64)
        return LinearMap(torch.linalg.solve(gram, design.T @ y[inside].double()).float())

    def __call__(self, sources: Tensor) -> Tensor:
        """(n, C, *size) in [-1, 1] of (n, S, *size)."""
        x = _rows(sources)
        y = torch.cat([x, torch.ones(len(x), 1)], dim=1) @ self._weights
        y = torch.where((x > BACKGROUND - 1).any(dim=1, keepdim=True), y.clamp(-1, 1), -1.0)
        n, size = len(sources), sources.shape[2:]
        return y.reshape(n, *size, y.shape[1]).movedim(-1, 1)


def _rows(images: Tensor) -> Tensor:
    """(n, C, *size) as (voxels, C)."""
    return images.float().movedim(1, -1).reshape(-1, images.shape[1])


def mean_target(targets: Tensor, n: int) -> Tensor:
    """The mean of (m, C, *size) training targets, n times; background where there is none."""
    mean = targets.float().mean(dim=0) if len(targets) else torch.full(targets.shape[1:], -1.0)
    return mean.expand(n, *mean.shape)


def own_slice(image: Tensor, channels: int) -> Tensor:
    """(n, channels, *size): the slice in the middle of one that comes with its neighbours."""
    beside = (image.shape[1] - channels) // 2
    return image[:, beside : beside + channels]


def along_channels(sources: Sequence[Tensor]) -> Tensor:
    """(n, S, *size) of (n, C, *size) each."""
    return torch.cat([each.float() for each in sources], dim=1)
