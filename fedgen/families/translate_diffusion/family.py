"""The family `translate_diffusion`: a denoiser that sees a patient's other contrasts beside the one that it draws."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Draws
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.families.parts.denoising.family import DenoisingFamily
from fedgen.families.parts.denoising.objective import DenoisingObjective
from fedgen.families.parts.denoising.unet import ConditionalUNet
from fedgen.families.parts.folding import copies, rows
from fedgen.families.parts.sources import Sources, left_out, sources_of
from fedgen.families.translate_diffusion.options import TranslateDiffusionOptions
from fedgen.task.records import Records
from fedgen.task.task import Task


def maps_of(task: Task, sources: Sources) -> Tensor:
    """Sources and, of each, a map that is 1 where it is there and 0 where it is not: (R, channels + S, *size)."""
    return with_condition_maps(sources.x, sources.told[:, : len(task.sources)])


class TranslationObjective(DenoisingObjective):
    """The denoising loss of the target, seen beside its sources, of which some are left out."""

    def __init__(self, task: Task, options: TranslateDiffusionOptions, *, whole: bool = False) -> None:
        """For a task; `whole` leaves nothing out."""
        super().__init__(task, options, 0.0 if whole else options.label_dropout)
        self.source_dropout = 0.0 if whole else options.source_dropout

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """As in diffusion, and `left`: (B, M, K, sources) uniform, the same for all K copies of an image."""
        draws = super().draw(B, M, K, rng)
        left = torch.rand(B, M, 1, len(self.task.sources), generator=rng, device=rng.device)
        return {**draws, "left": left.expand(B, M, K, -1)}

    def seen(self, records: Records, draws: Draws) -> Tensor:
        """See `maps_of`."""
        sources = sources_of(self.task, records.fields, records.weights["patient"])
        K = draws["level"].shape[2]
        each = Sources(copies(sources.x, K), copies(sources.told, K))
        return maps_of(self.task, left_out(self.task, each, rows(draws["left"]), self.source_dropout))


class TranslateDiffusionFamily(DenoisingFamily):
    """One UNet, one objective."""

    def __init__(self, task: Task, options: TranslateDiffusionOptions) -> None:
        super().__init__(task, options)
        self.objective = TranslationObjective(task, options)
        self.scored = TranslationObjective(task, options, whole=True)

    def networks(self) -> dict[str, nn.Module]:
        """`unet`."""
        seen = sum(source.channels + 1 for source in self.task.sources)
        unet = ConditionalUNet(self.task.stack, self.task.condition_width, self.options, seen)
        return {"unet": unet.eval()}

    def seen(self, given: Mapping[str, Tensor], n: int) -> Tensor:
        """The sources that are given, and where `present` is not given all of them are there."""
        first = given[self.task.sources[0].name]
        return maps_of(self.task, sources_of(self.task, given, first.new_zeros(n)))
