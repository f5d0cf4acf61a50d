"""Pictures that a UNet sees beside the one that it draws: of a creation none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Draws
from fedgen.task.records import Records


class SeenPictures:
    """None; a translation has a class of its own, of its sources."""

    #: of all of them
    channels: int = 0

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Random numbers by which some are left out in training; each tensor starts with (B, M, K)."""
        return {}

    def of_records(self, records: Records, draws: Draws, K: int) -> Tensor | None:
        """(B*M*K, channels, *size), as training sees them; None where there are none."""
        return None

    def of_given(self, given: Mapping[str, Tensor], n: int) -> Tensor | None:
        """(n, channels, *size) of what a sample of n is given; None where there are none."""
        return None
