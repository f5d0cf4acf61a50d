"""Self-attention over an image's features (Zhang et al. 2019, SAGAN), as MONAI has it."""

from __future__ import annotations

from math import gcd, prod
from typing import Any

from monai.networks.blocks.spatialattention import SpatialAttentionBlock
from torch import nn

#: Most positions of a grid that attends to itself: its weights are as many numbers squared, for each row.
POSITIONS = 256


def attention(dimensions: int, channels: int) -> nn.Module:
    """One head over all positions, with a group norm inside its branch and the features beside it."""
    block: Any = SpatialAttentionBlock(
        spatial_dims=dimensions, num_channels=channels, norm_num_groups=gcd(4, channels)
    )
    found: nn.Module = block
    return found


def attended(grids: list[tuple[int, ...]]) -> int:
    """Which of the grids attends to itself: the finest of at most `POSITIONS`, else the coarsest.

    >>> attended([(8, 8), (16, 16), (32, 32)])
    1
    """
    sizes = [prod(grid) for grid in grids]
    allowed = [size for size in sizes if size <= POSITIONS]
    return sizes.index(max(allowed) if allowed else min(sizes))
