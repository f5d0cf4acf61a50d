"""What both players of a GAN must agree on: how far the images have grown, and how steadily they step."""

from __future__ import annotations

from torch import Tensor

from fedgen.families.contract import PROGRESS, Draws
from fedgen.families.gan.growing import stage
from fedgen.families.gan.options import GANOptions
from fedgen.families.parts.blocks import level_strides
from fedgen.task.task import Task


class Pace:
    """The stage of progressive growing at a step of the study.

    Args:
        task: whose images grow.
        options: how.
    """

    def __init__(self, task: Task, options: GANOptions) -> None:
        self.span = options.progressive
        #: Doublings from the coarsest resolution to the full one.
        self.doublings = level_strides(task.stack.size, len(options.generator_channels)).count(2)

    def stage(self, draws: Draws, like: Tensor) -> Tensor | None:
        """(B,) doublings that are done; None where all are, or where the step says nothing of the study."""
        if self.span is None or PROGRESS not in draws:
            return None
        return stage(draws[PROGRESS].to(like.dtype), self.span, self.doublings)

    @staticmethod
    def of_rows(stage: Tensor | None, r: int) -> Tensor | None:
        """Of each of the r rows of each record."""
        return None if stage is None else stage[:, None].expand(-1, r).flatten()


def betas_of(options: GANOptions) -> tuple[float, float]:
    """Of Adam: less momentum, against oscillation of the two players (Radford et al. 2016; Gulrajani et al. 2017)."""
    return (0.0, 0.9) if options.loss == "wasserstein" else (0.5, 0.999)
