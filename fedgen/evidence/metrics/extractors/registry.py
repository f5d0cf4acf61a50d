"""What a feature extractor is, and the registry that names them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

from torch import Tensor, nn


class Extractor(nn.Module, ABC):
    """Maps images to feature vectors, offline and deterministically.

    Attributes:
        name: name in the study file and in results.
        one_unit: whether all features have one unit, so that one that hardly varies can be told by its spread.
        num_features: length of a feature vector (the attribute torchmetrics reads).
        hash: sha256 (hex) over weights or definition and preprocessing version; equal hashes mean
            comparable features.
    """

    name: ClassVar[str]
    one_unit: ClassVar[bool] = False
    num_features: int
    hash: str

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (n, C, H, W) float32 in [-1, 1].

        Returns:
            (n, num_features) float32, finite.
        """


ExtractorClass = TypeVar("ExtractorClass", bound=Callable[[int], Extractor])

_EXTRACTORS: dict[str, Callable[[int], Extractor]] = {}


def register(name: str) -> Callable[[ExtractorClass], ExtractorClass]:
    """Make a class, constructed from the number of image channels, known under `name`."""

    def add(extractor: ExtractorClass) -> ExtractorClass:
        if name in _EXTRACTORS:
            raise ValueError(f"two extractors are registered as {name}")
        _EXTRACTORS[name] = extractor
        return extractor

    return add


def extractor_names() -> tuple[str, ...]:
    """Registered names, sorted."""
    return tuple(sorted(_EXTRACTORS))


def build_extractor(name: str, channels: int) -> Extractor:
    """The extractor `name` for images of `channels` channels.

    Raises:
        KeyError: no such extractor; the study's schema refuses such a name before this.
    """
    return _EXTRACTORS[name](channels)
