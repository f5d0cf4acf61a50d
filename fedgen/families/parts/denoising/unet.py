"""The diffusion network F(x; c_noise, y): MONAI's DiffusionModelUNet, on patches where images are large."""

from __future__ import annotations

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.parts.denoising.linear_denoisers import THUMBNAIL, AffineDenoiser, WienerFilter
from fedgen.families.parts.denoising.options import UNetOptions
from fedgen.families.parts.grids import channels_to_space, coordinate_maps, space_to_channels
from fedgen.task.image_spec import ImageSpec

#: GroupNorm groups and channels of an attention head; the options demand channels that are multiples of it.
NORM_GROUPS = 8

#: Tokens in which the UNet's attention is told the condition.
TOKENS = 4

#: MONAI embeds timesteps of order 1000 as sinusoids; c_noise is of order 1.
C_NOISE_SCALE = 1000.0


def patch_size(image_size: tuple[int, ...]) -> int:
    """2 from 64 pixels on along every axis, else 1.

    Patches become channels: the finest level, which costs most, then has a quarter of the pixels, or an eighth (as in
    the space-to-depth of Hoogeboom et al. 2023, "simple diffusion").
    """
    return 2 if min(image_size) >= 64 else 1


def require_divisible(image_size: tuple[int, ...], options: UNetOptions) -> None:
    """Check that the image can be halved between all levels, and that the linear denoisers' thumbnail is exact.

    Raises:
        StudyError: it cannot, or it is not.
    """
    levels = len(options.channels)
    factor = patch_size(image_size) * 2 ** (levels - 1)
    if any(side % factor for side in image_size):
        raise StudyError(
            f"data.image_size {list(image_size)} does not suit the {levels} levels of the model's channels: "
            f"use sides that are multiples of {factor}, or fewer levels."
        )
    if options.linear_denoisers and any(side % THUMBNAIL for side in image_size):
        raise StudyError(
            f"data.image_size {list(image_size)} does not suit the linear denoisers beside the UNet: use sides that "
            f"are multiples of {THUMBNAIL}, or set the model's linear_denoisers to false."
        )


class ConditionalUNet(nn.Module):
    """F(x; c_noise, y).

    y may have further numbers behind the condition, which the affine part never sees: where conditions are dropped in
    training, 1 where that is dropped and the others 0; in a game the latent of an image.

    Args:
        image: what is denoised.
        condition: numbers of the condition.
        options: of the family.
        seen: channels of the pictures that it sees beside, such as another contrast.
        further: numbers of y behind the condition.
    """

    def __init__(
        self, image: ImageSpec, condition: int, options: UNetOptions, seen: int = 0, further: int = 0
    ) -> None:
        super().__init__()
        self.patch = patch_size(image.size)
        self.condition = condition
        pixels = image.channels * self.patch**image.dimensions
        # Where a pixel is tells what it shows in an aligned modality; convolutions alone learn that slowly.
        self.coordinates: Tensor
        maps = coordinate_maps(tuple(side // self.patch for side in image.size))
        self.register_buffer("coordinates", maps, persistent=False)
        self.linear = options.linear_denoisers
        if self.linear:
            self.wiener = WienerFilter(image, options.sigma_data)
            self.affine = AffineDenoiser(image, condition)
        self.width = condition + further
        attends = options.conditioning == "cross_attention" and self.width > 0
        token = options.channels[-1]
        self.tokens = nn.Linear(self.width, TOKENS * token) if attends else None
        self.unet: nn.Module = DiffusionModelUNet(
            spatial_dims=image.dimensions,
            in_channels=pixels + self.coordinates.shape[1] + seen * self.patch**image.dimensions,
            out_channels=pixels,
            channels=options.channels,
            attention_levels=options.attention,
            num_res_blocks=options.residual_blocks,
            num_head_channels=NORM_GROUPS,
            norm_num_groups=NORM_GROUPS,
            with_conditioning=attends,
            cross_attention_dim=token if attends else None,
            num_class_embeds=None if attends else self.width or None,
        )
        if self.width and not attends:
            _read_numbers(self.unet)

    def forward(self, x: Tensor, c_noise: Tensor, y: Tensor, seen: Tensor | None = None) -> Tensor:
        """F, (n, C, *size), for images x (n, C, *size) scaled by c_in, c_noise (n,), y (n, width), seen (n, S, *size).

        Of y only what the network was made for is read.
        """
        patches = space_to_channels(x, self.patch)
        maps = self.coordinates.expand(len(x), *self.coordinates.shape[1:])
        beside = [] if seen is None else [space_to_channels(seen, self.patch)]
        known = y[:, : self.width] if self.width else None
        output = self.unet(
            torch.cat([patches, *beside, maps], dim=1),
            timesteps=C_NOISE_SCALE * c_noise,
            context=None
            if self.tokens is None or known is None
            else self.tokens(known).unflatten(1, (TOKENS, -1)),
            class_labels=known if self.tokens is None else None,
        )
        F = channels_to_space(output, self.patch)
        if self.linear:
            F = F + self.wiener(x, c_noise) + self.affine(x, c_noise, y[:, : self.condition])
        return F


def _read_numbers(unet: nn.Module) -> None:
    """Let the class embedding read numbers, of which one-hot ones give what class indices gave."""
    embedding = unet.class_embedding
    assert isinstance(embedding, nn.Embedding)
    linear = nn.utils.skip_init(nn.Linear, embedding.num_embeddings, embedding.embedding_dim, bias=False)
    with torch.no_grad():
        linear.weight.copy_(embedding.weight.T)
    unet.class_embedding = linear
