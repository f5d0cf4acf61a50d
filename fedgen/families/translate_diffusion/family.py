"""The family `translate_diffusion`: a UNet that sees a patient's other contrasts beside the one that it draws."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Attack, Family, Objective
from fedgen.families.parts.large_steps.family import LargeStepFamily
from fedgen.families.translate_diffusion.denoising import DenoisingTranslation
from fedgen.families.translate_diffusion.options import TranslateDiffusionOptions
from fedgen.families.translate_diffusion.seen_sources import SeenSources
from fedgen.task.records import Records
from fedgen.task.task import Task


class TranslateDiffusionFamily(Family):
    """By a denoiser in small steps, or in few large ones that are learned in a game."""

    def __init__(self, task: Task, options: TranslateDiffusionOptions) -> None:
        beside, whole = SeenSources(task, options.source_dropout), SeenSources(task, 0.0)
        self.way: Family = (
            LargeStepFamily(task, options, options.learning_rate, beside, whole)
            if options.adversarial
            else DenoisingTranslation(task, options, beside, whole)
        )

    def networks(self) -> dict[str, nn.Module]:
        """`unet`; in a game `generator` and `critic`."""
        return self.way.networks()

    def contributions(self) -> tuple[Objective, ...]:
        """Denoising; in a game the discriminator's, then the generator's."""
        return tuple(each for each in self.way.contributions() if isinstance(each, Objective))

    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Translations (n, C, *size) float32 in [-1, 1] of the sources that are given."""
        return self.way.sample(networks, given, n, rng)

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Minus the denoising loss, or what the discriminator says, (B,)."""
        return self.way.score(networks, records, rng)

    def attacks(self) -> Mapping[str, Attack]:
        """Those of the way."""
        return self.way.attacks()
