"""Encoder, decoder, discriminator of images and critic of latents, on MONAI's networks, without batch statistics."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets import FullyConnectedNet, Generator, Regressor
from torch import Tensor, nn

from fedgen.families.parts.blocks import (
    LEAKY_RELU,
    LinearImage,
    group_norm,
    he_initialise,
    level_strides,
    upsampling_convolution,
)
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.families.vae_gan.options import VAEGANOptions
from fedgen.task.image_spec import ImageSpec

#: Range of ln sigma^2 of the posterior: keeps exp, and so every loss, finite whatever the weights.
LOGVAR_RANGE = (-10.0, 4.0)


class Judged(NamedTuple):
    """What a discriminator says of n images.

    Attributes:
        logits: (n,) of being real.
        features: (n, f) of its middle level.
    """

    logits: Tensor
    features: Tensor


class _Downsampling(Regressor):
    """MONAI's regressor with kernels of 4 where it halves, and an activation after the last convolution too."""

    def _get_layer(self, in_channels: int, out_channels: int, strides: int, is_last: bool) -> nn.Module:
        convolution: nn.Module = Convolution(
            spatial_dims=self.dimensions,
            in_channels=in_channels,
            out_channels=out_channels,
            strides=strides,
            kernel_size=4 if strides == 2 else 3,
            padding=1,
            act=LEAKY_RELU,
            norm=self.norm,
        )
        return convolution


class _Upsampling(Generator):
    """MONAI's generator with upsampling convolutions."""

    def _get_layer(self, in_channels: int, out_channels: int, strides: int, is_last: bool) -> nn.Sequential:
        return upsampling_convolution(
            self.dimensions, in_channels, out_channels, strides, self.norm, last=is_last
        )


class Encoder(nn.Module):
    """q(z | x, y): the condition y enters as constant extra channels."""

    def __init__(self, image: ImageSpec, condition: int, options: VAEGANOptions) -> None:
        super().__init__()
        self.body = _Downsampling(
            in_shape=(image.channels + condition, *image.size),
            out_shape=(2 * options.latent_size,),
            channels=options.channels,
            strides=level_strides(image.size, len(options.channels)),
            num_res_units=0,
            norm=group_norm(options.channels),
        )

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """mu and ln sigma^2 (n, latent_size) of images x (n, C, *size) with condition (n, width)."""
        mu, logvar = self.body(with_condition_maps(x, condition)).chunk(2, dim=1)
        return mu, logvar.clamp(*LOGVAR_RANGE)


class CodeDecoder(nn.Module):
    """x of z and y: the condition y enters as numbers beside z."""

    def __init__(self, image: ImageSpec, condition: int, options: VAEGANOptions) -> None:
        super().__init__()
        channels = options.channels[::-1]
        strides = level_strides(image.size, len(channels))[::-1]
        scale = 2 ** strides.count(2)
        read = options.latent_size + condition
        self.body = _Upsampling(
            latent_shape=(read,),
            start_shape=(channels[0], *(side // scale for side in image.size)),
            channels=(*channels[1:], channels[-1], image.channels),
            strides=(*strides, 1),
            norm=group_norm(channels),
        )
        self.linear = LinearImage(read, image, reduction=2, gain=3.0)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] of latents z (n, latent_size) with condition (n, width)."""
        both = torch.cat([z, condition.to(z.dtype)], dim=1)
        return torch.tanh(self.body(both) + self.linear(both))


class Discriminator(nn.Module):
    """D(x, y): the condition y enters as constant extra channels.

    No norm at all: one would hide brightness and contrast, in which made images differ first.
    """

    def __init__(self, image: ImageSpec, condition: int, options: VAEGANOptions) -> None:
        super().__init__()
        channels = options.discriminator_channels
        self.middle = len(channels) // 2
        self.body = _Downsampling(
            in_shape=(image.channels + condition, *image.size),
            out_shape=(1,),
            channels=channels,
            strides=level_strides(image.size, len(channels)),
            num_res_units=0,
            norm=None,
        )
        he_initialise(self.body)

    def forward(self, x: Tensor, condition: Tensor) -> Judged:
        """Of images x (n, C, *size) with condition (n, width)."""
        features = self.body.net[: self.middle](with_condition_maps(x, condition))
        logits: Tensor = self.body.final(self.body.net[self.middle :](features))
        return Judged(logits[:, 0], features.flatten(1))


class Critic(nn.Module):
    """C(z, y): whether z was drawn from the prior, whatever y; so that latents are the prior's for each condition."""

    def __init__(self, condition: int, options: VAEGANOptions) -> None:
        super().__init__()
        width = options.critic_width
        self.body = FullyConnectedNet(options.latent_size + condition, 1, (width, width), act=LEAKY_RELU)
        he_initialise(self.body)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Logits (n,) of latents z (n, latent_size) with condition (n, width)."""
        logits: Tensor = self.body(torch.cat([z, condition.to(z.dtype)], dim=1))
        return logits[:, 0]
