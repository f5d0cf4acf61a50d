"""The code of a public autoencoder as an image of its own, which a latent diffusion denoises (Rombach et al. 2022)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fedgen.priors.autoencoder import AutoencoderSpace, network_of
from fedgen.priors.card import CodeNetwork
from fedgen.priors.linear_space import LinearSpace


class PublicCode(nn.Module):
    """Codes about their public mean, in units in which those of public images have a given standard deviation.

    What the file's components do not tell of a code is left away, as the decoder was trained to find it. There is
    nothing to train: the autoencoder is in buffers, which no message and no checkpoint holds, and each image is coded
    for itself. The unit is in the prior, so that no statistic of patients has to be paid for.

    Args:
        space: of the prior; a copy of one's own, since it moves with the network to another device.
        sigma: standard deviation of a number of the code over the public images, > 0.
    """

    unit: Tensor

    def __init__(self, space: AutoencoderSpace, sigma: float) -> None:
        super().__init__()
        self.space = space
        variance = space.code.stds.double().square().sum() / space.code.mean.numel()
        self.register_buffer("unit", (variance.sqrt() / sigma).to(space.code.stds))

    def forward(self, images: Tensor) -> Tensor:
        """Codes (n, *code) of images (n, C, *size), in the images' type."""
        code = self.space.code
        parts = self.space.encode(images) * code.stds.to(images.dtype)
        flat = parts @ code.components.flatten(1).to(images.dtype) / self.unit.to(images.dtype)
        return flat.reshape(-1, *code.shape)

    def decode(self, codes: Tensor) -> Tensor:
        """Images (n, C, *size), not clamped, of codes (n, *code)."""
        code = self.space.code
        return self.space.decode(code.encode(codes * self.unit + code.mean))


def blank_space(card: CodeNetwork, shape: tuple[int, ...], code: tuple[int, ...]) -> AutoencoderSpace:
    """A space of such a network for images (C, *size), with random weights and one level as its component.

    For networks that are counted, timed or checked where no file of a prior is at hand.
    """
    network = network_of(card, shape[0], len(shape) - 1)
    level = torch.full((1, *code), math.prod(code) ** -0.5)
    return AutoencoderSpace(
        network, LinearSpace(torch.zeros(code), level, torch.ones(1)), torch.zeros(shape), torch.ones(1)
    )
