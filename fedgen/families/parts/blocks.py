"""Building blocks the convolutional families share, put together from MONAI's."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod
from typing import Any

from monai.networks.blocks import Convolution, UpSample
from torch import Tensor, nn

from fedgen.families.parts.grids import LINEAR, upsample
from fedgen.task.image_spec import ImageSpec

#: Slope of Radford et al. 2016; also MONAI's form of naming an activation.
LEAKY_RELU: tuple[str, dict[str, float]] = ("leakyrelu", {"negative_slope": 0.2})


def level_strides(image_size: tuple[int, ...], levels: int) -> tuple[int, ...]:
    """Stride of each level: 2 while every side is even and stays at least 4, then 1."""
    strides: list[int] = []
    for _ in range(levels):
        halves = min(image_size) >= 8 and not any(side % 2 for side in image_size)
        strides.append(2 if halves else 1)
        image_size = tuple(side // strides[-1] for side in image_size)
    return tuple(strides)


def group_norm(channels: Sequence[int]) -> tuple[str, dict[str, int]]:
    """MONAI's name of a GroupNorm that fits every level.

    Never batch norm: its statistics mix records, so that no clip could bound one patient's influence. Few
    groups, because a norm of each channel alone (instance norm) would take an image's brightness away.
    """
    return ("group", {"num_groups": gcd(4, *channels)})


def he_initialise(network: nn.Module) -> None:
    """Weights of He et al. 2015 for LeakyReLU, biases 0, in place.

    Where no norm rescales activations, torch's default weights shrink them by about sqrt(3) a layer, and a
    short training spends itself on growing them back.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=LEAKY_RELU[1]["negative_slope"])
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def upsampling_convolution(
    dimensions: int,
    in_channels: int,
    out_channels: int,
    stride: int,
    norm: tuple[str, dict[str, int]] | None,
    *,
    last: bool,
) -> nn.Sequential:
    """Linear upsampling, then a convolution with kernels of 3 (with norm and activation unless last).

    In place of a transposed convolution, whose uneven overlap draws checkerboards (Odena et al. 2016).
    """
    block = nn.Sequential()
    if stride > 1:
        enlarged: Any = UpSample(
            spatial_dims=dimensions,
            in_channels=in_channels,
            scale_factor=stride,
            mode="nontrainable",
            interp_mode=LINEAR[dimensions],
            align_corners=False,
        )
        block.add_module("upsample", enlarged)
    convolution: Any = Convolution(
        spatial_dims=dimensions,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=3,
        act=LEAKY_RELU,
        norm=norm,
        conv_only=last,
    )
    block.add_module("convolution", convolution)
    return block


class LinearImage(nn.Module):
    """A mean image and principal components: a linear map of the latent to a coarse image, upsampled.

    A convolutional decoder alone needs thousands of steps to place anatomy, because it starts with the same
    response everywhere. A linear VAE is probabilistic PCA (Lucas et al. 2019), found in a few hundred.
    """

    def __init__(self, in_features: int, image: ImageSpec, *, reduction: int, gain: float) -> None:
        """Start at zero.

        Args:
            in_features: size of the latent and what is concatenated to it.
            image: what comes out.
            reduction: factor by which the linear map's image is smaller.
            gain: factor on the output; Adam moves a weight by about the learning rate a step, so the image moves
                by gain times as much.
        """
        super().__init__()
        self.shape = (image.channels, *(side // reduction for side in image.size))
        self.reduction = reduction
        self.gain = gain
        self.linear = nn.Linear(in_features, prod(self.shape))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, z: Tensor) -> Tensor:
        """(n, in_features) to (n, C, *size)."""
        coarse = self.linear(z).reshape(-1, *self.shape)
        return self.gain * upsample(coarse, self.reduction)
