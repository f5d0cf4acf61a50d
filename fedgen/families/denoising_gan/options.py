"""The family `denoising_gan`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.large_steps.options import LargeStepOptions
from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec


class DenoisingGANOptions(LargeStepOptions):
    """Diffusion in few large steps, each learned in a game (Xiao et al. 2022): the UNet is told a latent and takes a
    guess at the noiseless image, from which a less noisy one is drawn, and a discriminator sees both.

    Both read patients, so that both pay for privacy, where in `gan` the discriminator alone does.
    """

    learning_rate: float = Field(1e-3, gt=0, description="of Adam, for the UNet")


SMALL = DenoisingGANOptions(
    channels=(8, 16),
    attention=(False, True),
    large_steps=2,
    latent_size=4,
    critic_channels=4,
    critic_layers=2,
)

SPEC = FamilySpec(
    name="denoising_gan",
    summary="denoising diffusion GAN: draws in few steps, each learned in a game; both players read data",
    options=DenoisingGANOptions,
    small=SMALL,
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
    variants={"slope penalty": SMALL.model_copy(update={"slope_penalty": 0.5, "distance_weight": 0.0})},
)
