"""The family `denoising_gan`: an image from noise in few large steps (Xiao et al. 2022)."""

from __future__ import annotations

from fedgen.families.denoising_gan.options import DenoisingGANOptions
from fedgen.families.parts.large_steps.family import LargeStepFamily
from fedgen.task.task import Task


class DenoisingGANFamily(LargeStepFamily):
    """A UNet that is told a latent, and who judges what it makes."""

    def __init__(self, task: Task, options: DenoisingGANOptions) -> None:
        super().__init__(task, options, options.learning_rate)
