"""Networks as one flat float32 vector: what crosses the wire, is hashed, averaged and saved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedgen.errors import FederationError


@dataclass(frozen=True)
class ParameterLayout:
    """Names and shapes of all trained parameters in the vector's order.

    Both ends build it from the study, so a vector needs no description of its own.
    """

    entries: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, networks: Mapping[str, nn.Module]) -> ParameterLayout:
        """The layout of a family's networks: networks by name, parameters in their own order, frozen ones left out."""
        return cls(
            tuple(
                (f"{network}/{name}", tuple(parameter.shape))
                for network in sorted(networks)
                for name, parameter in networks[network].named_parameters()
                if parameter.requires_grad
            )
        )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(torch.Size(shape).numel() for _, shape in self.entries)

    def flatten(self, networks: Mapping[str, nn.Module]) -> Tensor:
        """All parameters as one (size,) float32 vector on the CPU, a copy."""
        found = {
            f"{network}/{name}": parameter.detach()
            for network, module in networks.items()
            for name, parameter in module.named_parameters()
        }
        return torch.cat([found[name].flatten().cpu().float() for name, _ in self.entries])

    def tensors(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of `vector` by parameter name."""
        check_vector(vector, self.size)
        sizes = [torch.Size(shape).numel() for _, shape in self.entries]
        pieces = torch.split(vector, sizes)
        return {name: piece.reshape(shape) for (name, shape), piece in zip(self.entries, pieces, strict=True)}

    def load(self, networks: Mapping[str, nn.Module], vector: Tensor) -> None:
        """Copy `vector` into the networks' parameters; frozen ones stay.

        Raises:
            FederationError: the vector has another length or holds a value that is not finite.
        """
        values = self.tensors(vector)
        with torch.no_grad():
            for network, module in networks.items():
                for name, parameter in module.named_parameters():
                    if parameter.requires_grad:
                        parameter.copy_(values[f"{network}/{name}"])


def check_vector(vector: Tensor, size: int) -> None:
    """Refuse a model vector of the wrong shape, type or with values that are not finite.

    Raises:
        FederationError: with what is wrong.
    """
    if vector.dtype != torch.float32 or vector.ndim != 1 or vector.shape[0] != size:
        raise FederationError(
            f"A model of {size} float32 values was expected, but {tuple(vector.shape)} {vector.dtype} came: "
            "both sides must run the same study and version of fedgen."
        )
    if not bool(torch.isfinite(vector).all()):
        raise FederationError(
            "A model with NaN or infinite values was refused: lower training.learning_rate."
        )


def vector_sha256(vector: Tensor) -> str:
    """sha256 of the vector's little-endian float32 bytes."""
    return hashlib.sha256(vector.contiguous().numpy().astype("<f4", copy=False).tobytes()).hexdigest()
