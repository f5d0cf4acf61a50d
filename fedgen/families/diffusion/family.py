"""The family `diffusion`: a denoiser, and images drawn from noise in steps; of pixels, or of an autoencoder's code."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from fedgen.families.contract import Objective
from fedgen.families.diffusion.latent import (
    Autoencoder,
    CodeDenoisingObjective,
    CodingObjective,
    code_of,
    public_code,
)
from fedgen.families.diffusion.options import DiffusionOptions
from fedgen.families.parts.denoising.family import DenoisingFamily
from fedgen.families.parts.denoising.unet import require_divisible
from fedgen.priors.prior import Prior
from fedgen.priors.public_code import PublicCode
from fedgen.task.task import Task


class DiffusionFamily(DenoisingFamily):
    """One UNet, one objective; of codes that are trained two of each, of public ones a network beside it."""

    def __init__(self, task: Task, options: DiffusionOptions) -> None:
        super().__init__(task, options)
        self._options = options
        self._prior: Prior | None = None
        self.coding: CodingObjective | None = None
        if options.latent == "none":
            return
        self.image = code_of(task.stack, options)
        require_divisible(self.image.size, options)
        self.objective = CodeDenoisingObjective(task, options, options.label_dropout)
        self.scored = CodeDenoisingObjective(task, options, 0.0)
        if options.latent == "trained":
            self.coding = CodingObjective(task, options)

    def on(self, prior: Prior) -> DiffusionFamily:
        """The family of the code of that prior's autoencoder.

        Raises:
            TypeError: it denoises no public code.
            StudyError: the prior is of no autoencoder, or of another than the options say.
        """
        if self._options.latent != "prior":
            super().on(prior)
        public_code(self.task.stack, self._options, prior.space)
        other = copy.copy(self)
        other._prior = prior
        return other

    def networks(self) -> dict[str, nn.Module]:
        """`unet`, and of codes `autoencoder`."""
        own = super().networks()
        if self._options.latent == "none":
            return own
        return {**own, "autoencoder": self._autoencoder().eval()}

    def _autoencoder(self) -> nn.Module:
        image = self.task.stack
        if self.coding is not None:
            return Autoencoder(image, self._options)
        return public_code(image, self._options, None if self._prior is None else self._prior.space)

    def contributions(self) -> tuple[Objective, ...]:
        """Denoising, and of trained codes their making first: one vector of a patient."""
        return (self.objective,) if self.coding is None else (self.coding, self.objective)

    def pictures(self, networks: Mapping[str, nn.Module], denoised: Tensor) -> Tensor:
        """Of codes what the autoencoder makes of them."""
        if self._options.latent == "none":
            return denoised
        return cast(Autoencoder | PublicCode, networks["autoencoder"]).decode(denoised)
