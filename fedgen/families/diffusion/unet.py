"""The diffusion network F(x; c_noise, y): MONAI's DiffusionModelUNet, on patches where images are large."""

from __future__ import annotations

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from fedgen.errors import StudyError
from fedgen.families.diffusion.linear_denoisers import THUMBNAIL, AffineDenoiser, WienerFilter
from fedgen.families.diffusion.options import DiffusionOptions
from fedgen.task.image_spec import ImageSpec

#: GroupNorm groups and channels of an attention head; the options demand channels that are multiples of it.
NORM_GROUPS = 8

#: MONAI embeds timesteps of order 1000 as sinusoids; c_noise is of order 1.
C_NOISE_SCALE = 1000.0


def patch_size(image_size: tuple[int, ...]) -> int:
    """2 from 64 pixels on, else 1.

    2 x 2 patches become channels: the finest level, which costs most, then has a quarter of the pixels (as in
    the space-to-depth of Hoogeboom et al. 2023, "simple diffusion").
    """
    return 2 if min(image_size) >= 64 else 1


def require_divisible(image_size: tuple[int, ...], options: DiffusionOptions) -> None:
    """Check that the image can be halved between all levels, and that the linear denoisers' thumbnail is exact.

    Raises:
        StudyError: it cannot, or it is not.
    """
    levels = len(options.channels)
    factor = patch_size(image_size) * 2 ** (levels - 1)
    if any(side % factor for side in image_size):
        raise StudyError(
            f"data.image_size {list(image_size)} does not suit the {levels} levels of model.diffusion.channels: "
            f"use sides that are multiples of {factor}, or fewer levels."
        )
    if options.linear_denoisers and any(side % THUMBNAIL for side in image_size):
        raise StudyError(
            f"data.image_size {list(image_size)} does not suit the linear denoisers beside the UNet: use sides that "
            f"are multiples of {THUMBNAIL}, or set model.diffusion.linear_denoisers to false."
        )


def coordinate_maps(height: int, width: int, frequencies: int = 3) -> Tensor:
    """cos(k pi u) for k = 1..frequencies along both axes, u from 0 to 1: (1, 2 * frequencies, height, width)."""
    k = torch.arange(1, frequencies + 1)[:, None, None]
    rows = torch.cos(torch.pi * k * torch.linspace(0, 1, height)[:, None]).expand(-1, -1, width)
    columns = torch.cos(torch.pi * k * torch.linspace(0, 1, width)[None, :]).expand(-1, height, -1)
    return torch.cat([rows, columns])[None]


class ConditionalUNet(nn.Module):
    """F(x; c_noise, y).

    Where labels are dropped in training, y = `classes` stands for no label: one more class embedding. A network
    that never meets it has none.
    """

    def __init__(self, image: ImageSpec, classes: int, options: DiffusionOptions) -> None:
        super().__init__()
        C, H, W = image.shape
        self.patch = patch_size((H, W))
        # Where a pixel is tells what it shows in an aligned modality; convolutions alone learn that slowly.
        self.coordinates: Tensor
        maps = coordinate_maps(H // self.patch, W // self.patch)
        self.register_buffer("coordinates", maps, persistent=False)
        self.linear = options.linear_denoisers
        if self.linear:
            self.wiener = WienerFilter(image, options.sigma_data)
            self.affine = AffineDenoiser(image, classes)
        self.unet: nn.Module = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=C * self.patch**2 + self.coordinates.shape[1],
            out_channels=C * self.patch**2,
            channels=options.channels,
            attention_levels=options.attention,
            num_res_blocks=options.residual_blocks,
            num_head_channels=NORM_GROUPS,
            norm_num_groups=NORM_GROUPS,
            num_class_embeds=classes + (1 if options.label_dropout > 0 else 0),
        )

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """F, (n, C, H, W), for images x (n, C, H, W) scaled by c_in, c_noise (n,), labels (n,)."""
        patches = pixel_unshuffle(x, self.patch)
        maps = self.coordinates.expand(len(x), -1, -1, -1)
        output = self.unet(
            torch.cat([patches, maps], dim=1), timesteps=C_NOISE_SCALE * c_noise, class_labels=labels
        )
        F = pixel_shuffle(output, self.patch)
        if self.linear:
            F = F + self.wiener(x, c_noise) + self.affine(x, c_noise, labels)
        return F
