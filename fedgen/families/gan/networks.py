"""Conditional generator and discriminator on MONAI's Generator and Regressor, without batch statistics."""

from __future__ import annotations

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets import Generator, Regressor
from torch import Tensor, nn

from fedgen.families.gan.options import GANOptions
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


class ConditionalGenerator(nn.Module):
    """G(z, y): the condition y enters as numbers beside z."""

    def __init__(self, image: ImageSpec, condition: int, options: GANOptions) -> None:
        super().__init__()
        channels = options.generator_channels
        strides = level_strides(image.size, len(channels))[::-1]
        scale = 2 ** strides.count(2)
        self.generator = _UpsamplingGenerator(
            latent_shape=(options.latent_size + condition,),
            start_shape=(channels[0], *(side // scale for side in image.size)),
            channels=(*channels[1:], channels[-1], image.channels),
            strides=(*strides, 1),
            norm=None,
        )
        he_initialise(self.generator)
        reduction = 4 if any(side % 8 for side in image.size) else 8
        self.linear = LinearImage(options.latent_size + condition, image, reduction=reduction, gain=1.0)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] of latents z (n, latent_size) with condition (n, width)."""
        both = torch.cat([z, condition.to(z.dtype)], dim=1)
        return torch.tanh(self.generator(both) + self.linear(both))


class ConditionalDiscriminator(nn.Module):
    """D(x, y): the condition y enters as constant extra channels."""

    def __init__(self, image: ImageSpec, condition: int, options: GANOptions) -> None:
        super().__init__()
        channels = options.discriminator_channels
        # No norm at all: one would hide brightness and contrast, in which fakes differ first.
        self.discriminator = _DiscriminatorBody(
            in_shape=(image.channels + condition, *image.size),
            out_shape=(1,),
            channels=channels,
            strides=level_strides(image.size, len(channels)),
            num_res_units=0,
        )
        he_initialise(self.discriminator)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Logits (n,) of being real, for images x (n, C, *size) with condition (n, width)."""
        return self.discriminator(with_condition_maps(x, condition))[:, 0]
