"""The family `diffusion`: a denoiser, and images drawn from noise in steps; of pixels, or of an autoencoder's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from fedgen.families.contract import Objective
from fedgen.families.diffusion.latent import Autoencoder, CodeDenoisingObjective, CodingObjective, code_of
from fedgen.families.diffusion.options import DiffusionOptions
from fedgen.families.parts.denoising.family import DenoisingFamily
from fedgen.families.parts.denoising.unet import require_divisible
from fedgen.task.task import Task


class DiffusionFamily(DenoisingFamily):
    """One UNet, one objective; of codes two of each."""

    def __init__(self, task: Task, options: DiffusionOptions) -> None:
        super().__init__(task, options)
        self.coding: CodingObjective | None = None
        if options.latent == "trained":
            self.image = code_of(task.stack, options)
            require_divisible(self.image.size, options)
            self.coding = CodingObjective(task, options)
            self.objective = CodeDenoisingObjective(task, options, options.label_dropout)
            self.scored = CodeDenoisingObjective(task, options, 0.0)
        self._options = options

    def networks(self) -> dict[str, nn.Module]:
        """`unet`, and of codes `autoencoder`."""
        if self.coding is None:
            return super().networks()
        return {**super().networks(), "autoencoder": Autoencoder(self.task.stack, self._options).eval()}

    def contributions(self) -> tuple[Objective, ...]:
        """Denoising, and of codes their making first: one vector of a patient."""
        return (self.objective,) if self.coding is None else (self.coding, self.objective)

    def pictures(self, networks: Mapping[str, nn.Module], denoised: Tensor) -> Tensor:
        """Of codes what the autoencoder makes of them."""
        if self.coding is None:
            return denoised
        images: Tensor = cast(Autoencoder, networks["autoencoder"]).network.decode(denoised)
        return images
