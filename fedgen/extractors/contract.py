"""What a feature extractor is, and what it may be made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor, nn

from fedgen.extractors.network_weights import NetworkWeights
from fedgen.priors.prior import Prior


@dataclass(frozen=True)
class Given:
    """What extractors may be made of.

    Attributes:
        channels: of the images.
        prior: the public prior that the study stands on; None where it has none, or where it is not at hand.
        network: the section of the study that names a network and its weights; None where it names none.
    """

    channels: int
    prior: Prior | None = None
    network: NetworkWeights | None = None


class Extractor(nn.Module, ABC):
    """Maps images to feature vectors, offline and deterministically.

    Attributes:
        name: the file's name, by which a study asks for it and results tell of it.
        version: raised whenever a feature's value changes for equal weights.
        one_unit: whether all features have one unit, so that one that hardly varies can be told by its spread.
        num_features: length of a feature vector.
        hash: sha256 (hex) over weights or definition, preprocessing and version; equal hashes mean comparable features.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    one_unit: ClassVar[bool] = False
    num_features: int
    hash: str

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @classmethod
    def of(cls, given: Given) -> Self:
        """The extractor for such images.

        Raises:
            DataError: what it is made of is not at hand, with what to do.
        """
        return cls(given.channels)

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (n, C, H, W) float32 in [-1, 1].

        Returns:
            (n, num_features) float32, finite.
        """

    @property
    def id(self) -> str:
        """Name, version and the first digits of the hash: what a number of its features must say."""
        return f"{self.name} {self.version} {self.hash[:12]}"
