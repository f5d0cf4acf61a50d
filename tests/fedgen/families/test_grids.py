"""What is done to a grid of pixels, along two axes and along three."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from fedgen.families.parts.blocks import level_strides
from fedgen.families.parts.grids import (
    average,
    channels_to_space,
    coordinate_maps,
    space_to_channels,
    upsample,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_patches_of_two_axes_are_torchs() -> None:
    images = noise(3, 2, 8, 12)
    assert torch.equal(space_to_channels(images, 2), pixel_unshuffle(images, 2))
    assert torch.equal(channels_to_space(noise(3, 8, 4, 6), 2), pixel_shuffle(noise(3, 8, 4, 6), 2))


@pytest.mark.parametrize("size", [(6, 4), (6, 4, 2)])
@pytest.mark.parametrize("patch", [1, 2])
def test_patches_are_neighbours_and_come_back(size: tuple[int, ...], patch: int) -> None:
    images = noise(2, 3, *size)
    folded = space_to_channels(images, patch)
    assert folded.shape == (2, 3 * patch ** len(size), *(side // patch for side in size))
    corner = images[(1, 2, *(slice(0, patch) for _ in size))].flatten()
    own = folded[(1, slice(2 * len(corner), None), *(0 for _ in size))]
    assert torch.equal(own, corner)
    assert torch.equal(channels_to_space(folded, patch), images)


@pytest.mark.parametrize("size", [(4, 6), (2, 4, 6)])
def test_means_and_linear_enlargement(size: tuple[int, ...]) -> None:
    """A ramp along each axis is its own enlargement but for the edges, and means undo it."""
    axes = torch.meshgrid(*(torch.arange(float(side)) for side in size), indexing="ij")
    ramp = sum(10.0**k * axis for k, axis in enumerate(axes))[None, None]
    larger = upsample(ramp, 2)
    assert larger.shape == (1, 1, *(2 * side for side in size))
    inside = tuple(slice(1, -1) for _ in size)
    assert torch.allclose(average(larger, 2)[0, 0][inside], ramp[0, 0][inside], atol=1e-4)
    assert torch.allclose(average(ramp, 2).flatten()[0], ramp[(0, 0, *(slice(0, 2) for _ in size))].mean())


def test_coordinate_maps_are_cosines_of_every_axis() -> None:
    for size in ((5, 9), (5, 3, 9)):
        maps = coordinate_maps(size)[0]
        assert maps.shape == (3 * len(size), *size)
        for axis, side in enumerate(size):
            own = maps[3 * axis : 3 * axis + 3].movedim(axis + 1, -1)
            u = torch.linspace(0, 1, side, dtype=torch.float64)
            for k in (1, 2, 3):
                expected = torch.cos(torch.pi * k * u).float().expand_as(own[k - 1])
                assert torch.allclose(own[k - 1], expected, atol=1e-6)


def test_level_strides_stop_at_four_pixels_of_the_shortest_side() -> None:
    assert level_strides((64, 64), 3) == (2, 2, 2)
    assert level_strides((64, 64), 6) == (2, 2, 2, 2, 1, 1)
    assert level_strides((24, 40), 4) == (2, 2, 1, 1)
    assert level_strides((8, 64, 64), 3) == (2, 1, 1)
