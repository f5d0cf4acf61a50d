"""The space of an autoencoder (MONAI's AutoencoderKL; Rombach et al. 2022): principal components of its code.

Group normalisation and convolutions see one image at a time; there are no statistics of a batch and no attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fedgen.priors.card import CodeNetwork
from fedgen.priors.linear_space import LinearSpace
from fedgen.priors.space import Space

if TYPE_CHECKING:
    from monai.networks.nets import AutoencoderKL

#: Begins the names of its weights in a file.
PREFIX = "network/"


class AutoencoderSpace(Space):
    """Latents are coordinates of the code that an encoder gives, in public standard deviations.

    Args:
        network: trained on what public images differ by; its parameters become buffers.
        code: components of the codes of public images.
        middle: (C, *size) float32, their mean.
        spread: (1,) float32 > 0, their standard deviation about it.
    """

    middle: Tensor
    spread: Tensor

    def __init__(self, network: AutoencoderKL, code: LinearSpace, middle: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.network = _frozen(network)
        self.code = code
        self.register_buffer("middle", middle)
        self.register_buffer("spread", spread)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *size) of an image."""
        return tuple(self.middle.shape)

    @property
    def d(self) -> int:
        """Components of the code."""
        return self.code.d

    def encode(self, images: Tensor) -> Tensor:
        """Coordinates of the mean of the code, which is the encoder's without its noise."""
        differences = (images.to(self.middle.dtype) - self.middle) / self.spread
        return self.code.encode(self.network.encode(differences)[0]).to(images.dtype)

    def decode(self, z: Tensor) -> Tensor:
        """What the decoder makes of the code."""
        differences: Tensor = self.network.decode(self.code.decode(z))
        return self.middle + differences * self.spread

    def first(self, d: int) -> AutoencoderSpace:
        """The first d components."""
        return AutoencoderSpace(self.network, self.code.first(d), self.middle, self.spread)

    def tensors(self) -> Mapping[str, Tensor]:
        """Those of the code, `middle`, `spread` and `network/...`."""
        weights = {f"{PREFIX}{name}": value for name, value in self.network.state_dict().items()}
        return {**self.code.tensors(), "middle": self.middle, "spread": self.spread, **weights}


def network_of(card: CodeNetwork, channels: int, dimensions: int) -> AutoencoderKL:
    """A network with the weights that torch's random numbers give; on torch's device `meta`, one without any."""
    levels = len(card.channels)
    # Here, since MONAI takes seconds to import, and most priors are principal components.
    from monai.networks.nets import AutoencoderKL

    return AutoencoderKL(
        spatial_dims=dimensions,
        in_channels=channels,
        out_channels=channels,
        channels=card.channels,
        latent_channels=card.code_channels,
        num_res_blocks=(1,) * levels,
        attention_levels=(False,) * levels,
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
        norm_num_groups=card.groups,
    )


def code_shape(card: CodeNetwork, size: tuple[int, ...]) -> tuple[int, ...]:
    """(code channels, *size) of the code of an image of this size."""
    return (card.code_channels, *(side // card.shrinks for side in size))


def expected_of(card: CodeNetwork, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a file holds for images (C, *size), beside the components of the code."""
    with torch.device("meta"):
        network = network_of(card, shape[0], len(shape) - 1)
    weights = {f"{PREFIX}{name}": tuple(value.shape) for name, value in network.state_dict().items()}
    return {"middle": shape, "spread": (1,), **weights}


def from_tensors(
    card: CodeNetwork, shape: tuple[int, ...], code: LinearSpace, found: Mapping[str, Tensor]
) -> AutoencoderSpace:
    """The space of weights found in a file, which have been checked against `expected_of`."""
    with torch.device("meta"):
        network = network_of(card, shape[0], len(shape) - 1)
    weights = {name.removeprefix(PREFIX): value for name, value in found.items() if name.startswith(PREFIX)}
    network.load_state_dict(weights, assign=True)
    return AutoencoderSpace(network, code, found["middle"], found["spread"])


def _frozen(network: AutoencoderKL) -> Any:
    network.eval()
    modules: list[nn.Module] = list(network.modules())
    for module in modules:
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    return network
