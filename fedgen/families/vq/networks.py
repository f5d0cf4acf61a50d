"""The quantised autoencoder of the family `vq`, of one level or of two, on MONAI's VQVAE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets import VQVAE
from torch import Tensor, nn

from fedgen.families.parts.blocks import he_initialise, level_strides
from fedgen.families.vq.codebook import Codebook, MovingCodebook
from fedgen.families.vq.options import VQOptions
from fedgen.task.image_spec import ImageSpec


class Quantising(NamedTuple):
    """What becomes of n images.

    Attributes:
        reconstruction: (n, C, *size), of any range.
        codes: (n, L) index of each place's code, coarse level first; those of the fine one count on from there.
        loss: (n,) of codes and encodings.
    """

    reconstruction: Tensor
    codes: Tensor
    loss: Tensor


def _autoencoder(
    dimensions: int,
    channels_in: int,
    channels_out: int,
    code_size: int,
    channels: Sequence[int],
    strides: Sequence[int],
    options: VQOptions,
) -> VQVAE:
    """MONAI's encoder and decoder, without its codebook, whose averages are of whole batches."""
    down = {2: (2, 4, 1, 1), 1: (1, 3, 1, 1)}
    up = {2: (2, 4, 1, 1, 0), 1: (1, 3, 1, 1, 0)}
    network = VQVAE(
        spatial_dims=dimensions,
        in_channels=channels_in,
        out_channels=channels_out,
        channels=channels,
        num_res_layers=options.residual_blocks,
        num_res_channels=channels,
        downsample_parameters=[down[stride] for stride in strides],
        upsample_parameters=[up[stride] for stride in reversed(strides)],
        num_embeddings=1,
        embedding_dim=code_size,
    )
    del network.quantizer
    # MONAI's own start lets biases outweigh what an image says, so that every place would have one and the same code.
    he_initialise(network)
    with torch.no_grad():
        # And let first images be faint: large ones move the codes before these say anything.
        for parameter in network.decoder.blocks[-1].parameters():
            parameter.mul_(0.1)
    return network


class Grids(NamedTuple):
    """Places of codes.

    Attributes:
        coarse: grid of the coarse level; () where there is none.
        fine: grid of the fine level.
        strides: of the fine encoder's levels.
        stride: of the coarse encoder's one level.
    """

    coarse: tuple[int, ...]
    fine: tuple[int, ...]
    strides: tuple[int, ...]
    stride: int

    @classmethod
    def of(cls, image: ImageSpec, options: VQOptions) -> Grids:
        """For images of this size."""
        strides = level_strides(image.size, len(options.channels))
        factor = 2 ** strides.count(2)
        fine = tuple(side // factor for side in image.size)
        stride = 1 if any(side % 2 for side in fine) else 2
        coarse = tuple(side // stride for side in fine) if options.hierarchical else ()
        return cls(coarse, fine, strides, stride)

    @property
    def places(self) -> tuple[int, int]:
        """Codes of an image, at the coarse level and at the fine one."""
        return math.prod(self.coarse) if self.coarse else 0, math.prod(self.fine)

    def allowed(self, codes: int) -> Tensor:
        """(L, V) which of all codes may be at each place: those of its level."""
        coarse, fine = self.places
        if not coarse:
            return torch.ones(fine, codes, dtype=torch.bool)
        of_fine = torch.arange(coarse + fine)[:, None] >= coarse
        return of_fine == (torch.arange(2 * codes)[None, :] >= codes)


class QuantisedAutoencoder(nn.Module):
    """x to codes, and codes to x.

    With two levels the coarse one describes what the fine one needs not: its codes are decoded to the fine grid, where
    the encoder's features and what was decoded give the fine codes; image is decoded from both (Razavi et al. 2019).
    """

    def __init__(self, image: ImageSpec, options: VQOptions) -> None:
        super().__init__()
        d, axes, C = options.code_size, image.dimensions, image.channels
        self.grids = Grids.of(image, options)
        self.codes = options.codes
        inner = 2 * d if options.hierarchical else d
        self.fine = _autoencoder(axes, C, C, inner, options.channels, self.grids.strides, options)
        self.codebook = _codebook(options)
        if self.grids.coarse:
            last, stride = options.channels[-1:], (self.grids.stride,)
            self.coarse = _autoencoder(axes, inner, d, d, last, stride, options)
            self.coarse_codebook = _codebook(options)
            self.both = Convolution(axes, inner + d, d, kernel_size=1, conv_only=True)

    def forward(self, x: Tensor, *, reconstruct: bool = True) -> Quantising:
        """Of images x (n, C, *size) in [-1, 1]; x itself in place of a reconstruction that is not asked for."""
        h = self.fine.encode(x)
        if not self.grids.coarse:
            fine = self.codebook(h)
            made = self._image(fine.vectors) if reconstruct else x
            return Quantising(made, fine.codes.flatten(1), fine.loss)
        coarse = self.coarse_codebook(self.coarse.encode(h))
        context = self.coarse.decode(coarse.vectors)
        fine = self.codebook(self.both(torch.cat([h, context], dim=1)))
        made = self._image(torch.cat([fine.vectors, context], dim=1)) if reconstruct else x
        codes = torch.cat([coarse.codes.flatten(1), fine.codes.flatten(1) + self.codes], dim=1)
        return Quantising(made, codes, coarse.loss + fine.loss)

    def decode(self, codes: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] of codes (n, L), as `Quantising` has them."""
        (first, _), n = self.grids.places, len(codes)
        if not first:
            return self._image(self.codebook.vectors(codes.reshape(n, *self.grids.fine))).clamp(-1, 1)
        coarse = self.coarse_codebook.vectors(codes[:, :first].reshape(n, *self.grids.coarse))
        fine = self.codebook.vectors((codes[:, first:] - self.codes).reshape(n, *self.grids.fine))
        return self._image(torch.cat([fine, self.coarse.decode(coarse)], dim=1)).clamp(-1, 1)

    def _image(self, vectors: Tensor) -> Tensor:
        # Not through tanh, which a few steps drive to where it is flat: a mostly black image would stay all black.
        return self.fine.decode(vectors)


def _codebook(options: VQOptions) -> Codebook:
    o = options
    if o.codebook == "ema":
        return MovingCodebook(o.codes, o.code_size, o.commitment, o.ema_decay)
    return Codebook(o.codes, o.code_size, o.commitment)
