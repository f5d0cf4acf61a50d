"""A discriminator of patches on MONAI's PatchDiscriminator, without batch statistics (Isola et al. 2017)."""

from __future__ import annotations

from typing import Any

from monai.networks.nets.patchgan_discriminator import PatchDiscriminator
from torch import Tensor, nn

from fedgen.families.parts.blocks import LEAKY_RELU, he_initialise
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.task.image_spec import ImageSpec


class PatchCritic(nn.Module):
    """Whether each patch of an image is real, beside what the image was made of where it has that.

    Args:
        image: the grid.
        channels: of the image, and of what stands beside it.
        told: numbers of what is told beside them.
        width: channels of the first layer.
        layers: how many, fewer on a small grid.
    """

    def __init__(self, image: ImageSpec, channels: int, told: int, *, width: int, layers: int) -> None:
        super().__init__()
        # Two convolutions at the end take a pixel each, of a side that was halved once a layer.
        most = min(image.size).bit_length() - 3
        self.patches: Any = PatchDiscriminator(
            spatial_dims=image.dimensions,
            channels=width,
            in_channels=channels + told,
            num_layers_d=max(1, min(layers, most)),
            activation=LEAKY_RELU,
            # No norm at all: one would hide brightness and contrast, in which what is made differs first.
            norm=None,
            bias=True,
        )
        he_initialise(self.patches)

    def forward(self, images: Tensor, told: Tensor) -> list[Tensor]:
        """Features of each layer (n, features, *grid) of images (n, channels, *size); the last are the logits."""
        found: list[Tensor] = self.patches(with_condition_maps(images, told))
        return found
