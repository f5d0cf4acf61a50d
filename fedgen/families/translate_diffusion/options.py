"""The family `translate_diffusion`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.large_steps.options import LargeStepOptions
from fedgen.families.parts.supported import translation_in
from fedgen.families.spec import FamilySpec
from fedgen.task.task import Task


class TranslateDiffusionOptions(DenoisingOptions, LargeStepOptions):
    """Diffusion of one contrast whose UNet sees others of the patient beside it (as in Palette, Saharia et al. 2022),
    in many small steps or, where `adversarial`, in few large ones (as in SynDiff, Oezbey et al. 2023, from pairs).

    Options are those of diffusion; `conditioning`, `label_dropout` and `guidance` speak of what is given beside images.
    """

    adversarial: bool = Field(
        False,
        description="draws in large_steps steps, each learned in a game with a discriminator; large_steps to "
        "distance_weight are read then alone, and what the denoiser's sampler needs is not",
    )
    source_dropout: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="probability in training that a source is left out, K draws together, never all of them "
        "(MM-GAN, Sharma and Hamarneh 2020)",
    )

    @model_validator(mode="after")
    def _a_game_is_of_edm(self) -> Self:
        if self.adversarial and (self.parametrization != "edm" or self.label_dropout > 0):
            raise ValueError(
                "adversarial steps have the parametrization edm, and drop no condition: leave parametrization, "
                "label_dropout and guidance out"
            )
        return self


_in = translation_in(2, 3)


def supports(task: Task) -> str | None:
    """Whether the family can do a task: see `FamilySpec`."""
    if task.translates and not task.paired:
        return "it learns from images of one patient at one time, and without such pairs translate_gan does"
    return _in(task)


SMALL = TranslateDiffusionOptions(
    channels=(8, 16),
    attention=(False, True),
    sampler_steps=3,
    large_steps=2,
    latent_size=4,
    critic_channels=4,
    critic_layers=2,
)

SPEC = FamilySpec(
    name="translate_diffusion",
    summary="one contrast drawn by diffusion beside others of the patient, in small steps or few large ones",
    options=TranslateDiffusionOptions,
    small=SMALL,
    supports=supports,
    private=True,
    fastest={"cpu": "hooks"},
)
