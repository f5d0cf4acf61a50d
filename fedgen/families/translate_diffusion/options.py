"""The family `translate_diffusion`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.supported import translation_in
from fedgen.families.spec import FamilySpec
from fedgen.task.task import Task


class TranslateDiffusionOptions(DenoisingOptions):
    """Diffusion of one contrast whose UNet sees others of the patient beside it (as in Palette, Saharia et al. 2022).

    Options are those of diffusion; `conditioning`, `label_dropout` and `guidance` speak of what is given beside images.
    """

    source_dropout: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="probability in training that a source is left out, K draws together, never all of them "
        "(MM-GAN, Sharma and Hamarneh 2020)",
    )


_in = translation_in(2, 3)


def supports(task: Task) -> str | None:
    """Whether the family can do a task: see `FamilySpec`."""
    if task.translates and not task.paired:
        return "it learns from images of one patient at one time, and without such pairs translate_gan does"
    return _in(task)


SPEC = FamilySpec(
    name="translate_diffusion",
    summary="one contrast drawn by diffusion beside others of the patient; sources may be missing",
    options=TranslateDiffusionOptions,
    small=TranslateDiffusionOptions(channels=(8, 16), attention=(False, True), sampler_steps=3),
    supports=supports,
    private=True,
    fastest={"cpu": "hooks"},
)
