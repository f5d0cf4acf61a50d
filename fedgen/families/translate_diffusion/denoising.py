"""Translation by a denoiser, which draws in many small steps (as Palette, Saharia et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Draws
from fedgen.families.parts.denoising.family import DenoisingFamily
from fedgen.families.parts.denoising.objective import DenoisingObjective
from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.translate_diffusion.seen_sources import SeenSources
from fedgen.task.records import Records
from fedgen.task.task import Task


class TranslationObjective(DenoisingObjective):
    """The denoising loss of the target, seen beside its sources, of which some are left out."""

    def __init__(
        self, task: Task, options: DenoisingOptions, label_dropout: float, beside: SeenSources
    ) -> None:
        super().__init__(task, options, label_dropout)
        self.beside = beside

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """As in diffusion, and what is left out."""
        return {**super().draw(B, M, K, rng), **self.beside.draw(B, M, K, rng)}

    def seen(self, records: Records, draws: Draws) -> Tensor:
        """The sources."""
        return self.beside.of_records(records, draws, draws["level"].shape[2])


class DenoisingTranslation(DenoisingFamily):
    """One UNet, one objective."""

    def __init__(
        self, task: Task, options: DenoisingOptions, beside: SeenSources, whole: SeenSources
    ) -> None:
        super().__init__(task, options)
        self.beside = beside
        self.objective = TranslationObjective(task, options, options.label_dropout, beside)
        self.scored = TranslationObjective(task, options, 0.0, whole)

    def networks(self) -> dict[str, nn.Module]:
        """`unet`."""
        return {"unet": self.unet(self.beside.channels).eval()}

    def seen(self, given: Mapping[str, Tensor], n: int) -> Tensor:
        """The sources that are given."""
        return self.beside.of_given(given, n)
