"""The translator on MONAI's UNet, without batch statistics."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from monai.networks.nets import UNet
from torch import Tensor, nn

from fedgen.families.parts.blocks import (
    LEAKY_RELU,
    group_norm,
    level_strides,
    upsampling_convolution,
)
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.families.translate_gan.options import TranslateGANOptions
from fedgen.task.image_spec import ImageSpec


class _UNet(UNet):
    """MONAI's U-Net with upsampling convolutions, and its last layer a plain one."""

    def _get_up_layer(self, in_channels: int, out_channels: int, strides: int, is_top: bool) -> nn.Module:
        inner = in_channels // 2 if is_top else out_channels
        up = upsampling_convolution(self.dimensions, in_channels, inner, strides, self.norm, last=False)
        last: Any = (
            Convolution(self.dimensions, inner, out_channels, kernel_size=3, conv_only=True)
            if is_top
            else ResidualUnit(
                self.dimensions, out_channels, out_channels, subunits=1, act=self.act, norm=self.norm
            )
        )
        return nn.Sequential(up, last)


class Translator(nn.Module):
    """G(x, told): sources as channels, and as constant further channels which of them are there, and the condition.

    Args:
        channels: of all sources.
        told: numbers of what is told beside them.
        image: what is made.
        options: of the family.
    """

    def __init__(self, channels: int, told: int, image: ImageSpec, options: TranslateGANOptions) -> None:
        super().__init__()
        levels = options.channels
        norm = group_norm(levels) if options.norm == "group" else ("instance", {"affine": True})
        self.unet: Any = _UNet(
            spatial_dims=image.dimensions,
            in_channels=channels + told,
            out_channels=image.channels,
            channels=levels,
            # The first level keeps the grid, so that fine detail of a source has a way to the translation.
            strides=(1, *level_strides(image.size, len(levels) - 2)),
            num_res_units=2,
            act=LEAKY_RELU,
            norm=norm,
        )

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] of sources x (n, channels, *size) and told (n, numbers)."""
        return torch.tanh(self.unet(with_condition_maps(x, told)))
