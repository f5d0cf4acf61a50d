"""The image's networks: MONAI's SPADE decoder with a discriminator of patches, or its SPADE diffusion network."""

from __future__ import annotations

from math import gcd
from typing import Any

import torch
from monai.networks.nets import PatchDiscriminator, SPADEDiffusionModelUNet
from monai.networks.nets.spade_network import SPADEDecoder
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.parts.blocks import he_initialise
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.families.parts.grids import coordinate_maps
from fedgen.families.spade.options import SpadeOptions
from fedgen.task.image_spec import ImageSpec

#: MONAI embeds timesteps of order 1000 as sinusoids; the time of a flow is of order 1.
TIME_SCALE = 1000.0
#: GroupNorm groups of the diffusion network.
GROUPS = 8


def require_halving(size: tuple[int, ...], options: SpadeOptions) -> None:
    """Check that the image can be halved as often as the network does it, and is more than one pixel then.

    Raises:
        StudyError: it cannot.
    """
    halvings = len(options.channels) - (options.kind == "diffusion")
    factor = 2**halvings
    if any(side % factor or side < 2 * factor for side in size):
        raise StudyError(
            f"data.image_size {list(size)} does not suit the {len(options.channels)} levels of model.spade.channels: "
            f"use sides that are multiples of {factor} and at least {2 * factor}, or fewer levels."
        )
    smallest = 2 ** (options.discriminator_layers + 2)
    if options.kind == "gan" and min(size) < smallest:
        raise StudyError(
            f"data.image_size {list(size)} is too small for model.spade.discriminator_layers "
            f"{options.discriminator_layers}: use sides of at least {smallest}, or fewer layers."
        )


class MaskedGenerator(nn.Module):
    """G(m, z, y): z and y give the style, and the mask m modulates every normalisation and the last convolution."""

    def __init__(self, image: ImageSpec, classes: int, condition: int, options: SpadeOptions) -> None:
        super().__init__()
        channels = list(reversed(options.channels))
        features = channels[-1]
        # MONAI's own last block would have as few channels as the image at half its resolution.
        self.decoder = SPADEDecoder(
            spatial_dims=image.dimensions,
            out_channels=features,
            label_nc=classes,
            input_shape=image.size,
            channels=channels,
            z_dim=options.latent_size + condition,
            is_vae=True,
            spade_intermediate_channels=options.spade_channels,
            norm=_norm(options.norm, options.channels),
        )
        convolution = nn.Conv2d if image.dimensions == 2 else nn.Conv3d
        self.last = convolution(features + classes, image.channels, kernel_size=3, padding=1)
        he_initialise(self)

    def forward(self, masks: Tensor, z: Tensor, condition: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] for masks (n, K, *size), latents z (n, latent_size), condition (n, width)."""
        features = self.decoder(masks, torch.cat([z, condition.to(z.dtype)], dim=1))
        return torch.tanh(self.last(torch.cat([features, masks.to(features.dtype)], dim=1)))


class PairDiscriminator(nn.Module):
    """D(x, m, y), a logit for each patch; without any norm, which would hide brightness and contrast."""

    def __init__(self, image: ImageSpec, classes: int, condition: int, options: SpadeOptions) -> None:
        super().__init__()
        no_norm: Any = None
        self.patches = PatchDiscriminator(
            spatial_dims=image.dimensions,
            channels=options.discriminator_channels,
            in_channels=image.channels + classes + condition,
            num_layers_d=options.discriminator_layers,
            norm=no_norm,
            bias=True,
        )
        he_initialise(self)

    def forward(self, images: Tensor, masks: Tensor, condition: Tensor) -> Tensor:
        """Logits (n, patches) of being real."""
        pairs = torch.cat([images, masks.to(images.dtype)], dim=1)
        logits: Tensor = self.patches(with_condition_maps(pairs, condition))[-1]
        return logits.flatten(1)


class MaskedUNet(nn.Module):
    """F(x, t; m, y): the velocity of a flow from image to noise, for a mask."""

    def __init__(self, image: ImageSpec, classes: int, condition: int, options: SpadeOptions) -> None:
        super().__init__()
        # Where a pixel is tells what it shows in an aligned modality; a mask does not say it everywhere.
        self.coordinates: Tensor
        self.register_buffer("coordinates", coordinate_maps(image.size), persistent=False)
        levels = len(options.channels)
        self.unet: nn.Module = SPADEDiffusionModelUNet(
            spatial_dims=image.dimensions,
            in_channels=image.channels,
            out_channels=image.channels,
            label_nc=classes + condition + self.coordinates.shape[1],
            num_res_blocks=options.residual_blocks,
            channels=options.channels,
            attention_levels=[options.attention and level == levels - 1 for level in range(levels)],
            norm_num_groups=GROUPS,
            num_head_channels=GROUPS,
            spade_intermediate_channels=options.spade_channels,
        )

    def forward(self, x: Tensor, t: Tensor, masks: Tensor, condition: Tensor) -> Tensor:
        """(n, C, *size) for x (n, C, *size), times t (n,) in [0, 1], masks (n, K, *size), condition (n, width)."""
        maps = self.coordinates.to(x.dtype).expand(len(x), *self.coordinates.shape[1:])
        seg = with_condition_maps(torch.cat([masks.to(x.dtype), maps], dim=1), condition)
        velocity: Tensor = self.unet(x, timesteps=TIME_SCALE * t, seg=seg)
        return velocity


def _norm(kind: str, channels: tuple[int, ...]) -> tuple[str, dict[str, object]]:
    """MONAI's name of the norm without parameters that SPADE modulates."""
    match kind:
        case "group":
            return ("group", {"num_groups": gcd(4, *channels), "affine": False})
        case "batch":
            return ("batch", {"track_running_stats": False, "affine": False})
    return ("instance", {})
