"""The linear space: a mean image and components with the standard deviation that public images have along each."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fedgen.priors.space import Space


class LinearSpace(Space):
    """An image x is mean + (z * stds) @ components + what the components cannot say.

    Args:
        mean: (C, *size) float32.
        components: (d, C, *size) float32, orthonormal as vectors of pixels.
        stds: (d,) float32 > 0, falling.
    """

    mean: Tensor
    components: Tensor
    stds: Tensor

    def __init__(self, mean: Tensor, components: Tensor, stds: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.register_buffer("stds", stds)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *size) of an image."""
        return tuple(self.mean.shape)

    @property
    def d(self) -> int:
        """Components."""
        return len(self.stds)

    def encode(self, images: Tensor) -> Tensor:
        """Coordinates in public standard deviations."""
        basis = self.components.flatten(1).to(images.dtype)
        centred = images.flatten(1) - self.mean.flatten().to(images.dtype)
        return centred @ basis.T / self.stds.to(images.dtype)

    def decode(self, z: Tensor) -> Tensor:
        """The point of the components' plane."""
        pixels = self.mean.flatten() + (z * self.stds) @ self.components.flatten(1)
        return pixels.reshape(-1, *self.shape)

    def first(self, d: int) -> LinearSpace:
        """The first d components."""
        return LinearSpace(self.mean, self.components[:d], self.stds[:d])

    def tensors(self) -> Mapping[str, Tensor]:
        """`mean`, `components`, `stds`."""
        return {"mean": self.mean, "components": self.components, "stds": self.stds}
