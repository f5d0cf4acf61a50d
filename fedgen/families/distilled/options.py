"""The family `distilled`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec


class DistilledOptions(DenoisingOptions):
    """Diffusion, of which after the last round a student is made that draws in few steps.

    That reads no patient and costs no privacy: the coordinator does it, on images that the trained model draws, and the
    student is the model that is assessed and released. Sampler and guidance are its teacher's; a guided teacher makes a
    student that needs no guidance.
    """

    way: Literal["progressive", "consistency"] = Field(
        "progressive",
        description="progressive, where students halve their teachers' steps (Salimans and Ho 2022), or consistency, "
        "where one student says the same all along a path of the flow (Song et al. 2023), for one or two steps",
    )
    student_steps: Literal[1, 2, 4] = Field(
        4, description="steps, and calls of the UNet, of the student for an image"
    )
    halvings: int = Field(
        2,
        ge=1,
        le=6,
        description="how often the steps are halved, beginning with student_steps times 2 to this power; with "
        "progressive",
    )
    consistency_levels: int = Field(
        16, ge=2, description="steps of the teacher from noise to image; with consistency"
    )
    distillation_steps: int = Field(
        200, ge=1, description="steps of Adam for each halving, or in all with consistency"
    )
    distillation_batch: int = Field(16, ge=1, description="images of such a step")
    own_samples: int = Field(
        256, ge=1, description="images drawn by the trained model, from which the student learns"
    )
    distillation_rate: float = Field(5e-4, gt=0, description="learning rate of such a step, which falls to 0")

    @property
    def stochastic(self) -> bool:
        """Whether the student adds noise between its steps, or its teacher's sampler did."""
        return super().stochastic or (self.way == "consistency" and self.student_steps > 1)


SMALL = DistilledOptions(
    channels=(8, 16),
    attention=(False, True),
    sampler_steps=3,
    student_steps=2,
    halvings=1,
    distillation_steps=2,
    distillation_batch=4,
    own_samples=8,
    consistency_levels=4,
)

SPEC = FamilySpec(
    name="distilled",
    summary="diffusion distilled on its own samples: draws in one to four steps, at no further privacy",
    options=DistilledOptions,
    small=SMALL,
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
    systems={"way: consistency": SMALL.model_copy(update={"way": "consistency"})},
)
