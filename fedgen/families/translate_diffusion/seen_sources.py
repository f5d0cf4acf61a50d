"""The sources of a translation as pictures that a UNet sees, of which training leaves some out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Draws
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.families.parts.folding import copies, rows
from fedgen.families.parts.large_steps.seen_pictures import SeenPictures
from fedgen.families.parts.sources import Sources, left_out, sources_of
from fedgen.task.records import Records
from fedgen.task.task import Task

#: Name of the random numbers.
LEFT = "left"


class SeenSources(SeenPictures):
    """Sources and, of each, a map that is 1 where it is there and 0 where it is not.

    Args:
        task: a translation.
        dropout: probability that training leaves a source out, never all of them.
    """

    def __init__(self, task: Task, dropout: float) -> None:
        self.task, self.dropout = task, dropout
        self.channels = sum(source.channels + 1 for source in task.sources)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`left`: (B, M, K, sources) uniform, the same for all K copies of an image."""
        left = torch.rand(B, M, 1, len(self.task.sources), generator=rng, device=rng.device)
        return {LEFT: left.expand(B, M, K, -1)}

    def of_records(self, records: Records, draws: Draws, K: int) -> Tensor:
        """See `SeenPictures`."""
        sources = sources_of(self.task, records.fields, records.weights["patient"])
        each = Sources(copies(sources.x, K), copies(sources.told, K))
        return self._maps(left_out(self.task, each, rows(draws[LEFT]), self.dropout))

    def of_given(self, given: Mapping[str, Tensor], n: int) -> Tensor:
        """Where `present` is not given all of them are there."""
        first = given[self.task.sources[0].name]
        return self._maps(sources_of(self.task, given, first.new_zeros(n)))

    def _maps(self, sources: Sources) -> Tensor:
        return with_condition_maps(sources.x, sources.told[:, : len(self.task.sources)])
