"""Conditional generator and discriminator on MONAI's Generator and Regressor, without batch statistics."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets import Generator, Regressor
from torch import Tensor, nn

from fedgen.families.gan.growing import Inlets, Outlets
from fedgen.families.gan.options import GANOptions
from fedgen.families.gan.style import StyledBody, noise_grids
from fedgen.families.parts.attention import attended, attention
from fedgen.families.parts.blocks import (
    LEAKY_RELU,
    LinearImage,
    he_initialise,
    level_strides,
    upsampling_convolution,
)
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.task.image_spec import ImageSpec


class _UpsamplingGenerator(Generator):
    """MONAI's generator with upsampling convolutions."""

    def _get_layer(self, in_channels: int, out_channels: int, strides: int, is_last: bool) -> nn.Sequential:
        return upsampling_convolution(
            self.dimensions, in_channels, out_channels, strides, self.norm, last=is_last
        )

    def features(self, both: Tensor, after: Mapping[int, nn.Module], noise: Tensor) -> list[Tensor]:
        """As `StyledBody.features`, and of noise nothing is read."""
        found: list[Tensor] = [self.reshape(self.linear(both))]
        for number, level in enumerate(self.conv):
            h = level(found[-1])
            found.append(after[number](h) if number in after else h)
        return found


class _DiscriminatorBody(Regressor):
    """MONAI's regressor with kernels of 4 where it halves, and an activation after the last convolution too.

    A kernel that is a multiple of the stride touches every pixel equally often, so the gradient the generator
    learns from has no checkerboard; and without the activation two linear maps would stand in a row.
    """

    def _get_layer(self, in_channels: int, out_channels: int, strides: int, is_last: bool) -> nn.Module:
        convolution: nn.Module = Convolution(
            spatial_dims=self.dimensions,
            in_channels=in_channels,
            out_channels=out_channels,
            strides=strides,
            kernel_size=4 if strides == 2 else 3,
            padding=1,
            act=LEAKY_RELU,
            norm=None,
        )
        return convolution


def numbers_of(image: ImageSpec, options: GANOptions) -> int:
    """Random numbers of an image: its latent and, where levels add noise, a number for each of their pixels."""
    if not options.level_noise:
        return options.latent_size
    start, strides = _levels(image, options)
    return options.latent_size + sum(prod(grid) for grid in noise_grids(start, strides))


def _levels(image: ImageSpec, options: GANOptions) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Grid of the generator's first features, and the stride of each level but the last, which has 1."""
    strides = level_strides(image.size, len(options.generator_channels))[::-1]
    return tuple(side // 2 ** strides.count(2) for side in image.size), strides


class ConditionalGenerator(nn.Module):
    """G(z, y): the condition y enters as numbers beside the latent, which is the first part of z."""

    def __init__(self, image: ImageSpec, condition: int, options: GANOptions) -> None:
        super().__init__()
        widths, self.latent = options.generator_channels, options.latent_size
        grid, strides = _levels(image, options)
        numbers = options.latent_size + condition
        start = (widths[0], *grid)
        channels = (*widths[1:], widths[-1], image.channels)
        self.generator: Any = (
            StyledBody(
                numbers, start, channels, (*strides, 1), options.latent_size, noisy=options.level_noise
            )
            if options.style
            else _UpsamplingGenerator((numbers,), start, channels, (*strides, 1), norm=None)
        )
        he_initialise(self.generator)
        reduction = 4 if any(side % 8 for side in image.size) else 8
        self.linear = LinearImage(numbers, image, reduction=reduction, gain=1.0)
        grids = [tuple(side * grown for side in start[1:]) for grown in accumulate(strides, mul)]
        self.attends = attended(grids)
        if options.self_attention:
            self.attention = attention(image.dimensions, channels[self.attends])
        #: Features behind which the resolution doubles.
        self.doubles = [level for level, stride in enumerate(strides) if stride == 2]
        if options.progressive is not None:
            before = [(start[0], *channels)[level] for level in self.doubles]
            self.outlets = Outlets(image.dimensions, before, image.channels)

    def forward(self, z: Tensor, condition: Tensor, stage: Tensor | None = None) -> Tensor:
        """Images (n, C, *size) in [-1, 1].

        Args:
            z: (n, `numbers_of`) latents, and behind them the noise of levels.
            condition: (n, width) what they are given.
            stage: (n,) doublings of the resolution that are done; None for all of them.
        """
        both = torch.cat([z[:, : self.latent], condition.to(z.dtype)], dim=1)
        after = {self.attends: self.attention} if hasattr(self, "attention") else {}
        features = self.generator.features(both, after, z[:, self.latent :])
        picture = features[-1]
        if stage is not None:
            picture = self.outlets([features[level] for level in self.doubles], picture, stage)
        return torch.tanh(picture + self.linear(both))


class ConditionalDiscriminator(nn.Module):
    """D(x, y): the condition y enters as constant extra channels, is guessed, or is projected upon."""

    def __init__(self, image: ImageSpec, condition: int, options: GANOptions) -> None:
        super().__init__()
        channels = options.discriminator_channels
        strides = level_strides(image.size, len(channels))
        self.concatenates = options.conditioning == "concatenation"
        looked_at = image.channels + (condition if self.concatenates else 0)
        # No norm at all: one would hide brightness and contrast, in which fakes differ first.
        self.discriminator = _DiscriminatorBody(
            in_shape=(looked_at, *image.size),
            out_shape=(1,),
            channels=channels,
            strides=strides,
            num_res_units=0,
        )
        he_initialise(self.discriminator)
        grids = [tuple(side // shrunk for side in image.size) for shrunk in accumulate(strides, mul)]
        self.attends = attended(grids)
        if options.self_attention:
            self.attention = attention(image.dimensions, channels[self.attends])
        #: Levels that halve, in order.
        self.halves = [level for level, stride in enumerate(strides) if stride == 2]
        if options.progressive is not None:
            self.inlets = Inlets(image.dimensions, [channels[level] for level in self.halves], looked_at)
        if options.conditioning == "acgan" and condition:
            self.guess = nn.Linear(channels[-1] * prod(grids[-1]), condition)
        if options.conditioning == "projection" and condition:
            # From zero: a discriminator that does not yet ask what the image was given.
            self.projection = nn.Linear(condition, channels[-1], bias=False)
            nn.init.zeros_(self.projection.weight)

    def forward(self, x: Tensor, condition: Tensor, stage: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (n,) of being real, and guesses (n, width) of the condition, of no numbers where none is made.

        Args:
            x: (n, C, *size) images.
            condition: (n, width) what they were given.
            stage: (n,) doublings of the resolution that are done; None for all of them.
        """
        if self.concatenates:
            x = with_condition_maps(x, condition)
        h = x
        for level, layer in enumerate(self.discriminator.net):
            h = layer(h)
            if stage is not None and level in self.halves:
                h = self.inlets(1 + self.halves.index(level), h, x, stage)
            if level == self.attends and hasattr(self, "attention"):
                h = self.attention(h)
        logits: Tensor = self.discriminator.final(h)[:, 0]
        if hasattr(self, "projection"):
            # Miyato and Koyama 2018, equation 3: features summed over the grid.
            logits = logits + (self.projection(condition.to(h.dtype)) * h.flatten(2).sum(dim=2)).sum(dim=1)
        return logits, self.guess(h.flatten(1)) if hasattr(self, "guess") else h.new_zeros(len(h), 0)
