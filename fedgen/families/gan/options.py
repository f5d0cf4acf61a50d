"""The family `gan`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class GANOptions(Section):
    """Conditional GAN; only the discriminator sees data (private GANs revisited, Bie et al. 2023).

    The adaptive schedule reads fakes alone, so it costs no privacy.
    """

    generator_channels: tuple[int, ...] = Field(
        (64, 64, 32, 16), min_length=1, strict=False, description="channels of each generator level"
    )
    discriminator_channels: tuple[int, ...] = Field(
        (16, 32, 64, 64), min_length=1, strict=False, description="channels of each discriminator level"
    )
    latent_size: int = Field(64, ge=2, description="dimensions of the latent vector")
    discriminator_steps: int = Field(1, ge=1, description="discriminator steps for each generator step")
    adaptive_threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="where the discriminator recognises no more than this share of the fakes it gets more steps for "
        "each generator step, from discriminator_steps up to 5000 (published: 0.6 at epsilon 10, 0.7 at epsilon 1); "
        "null keeps discriminator_steps",
    )
    learning_rate: float = Field(5e-4, gt=0, description="of Adam, for both networks")


SPEC = FamilySpec(
    name="gan",
    summary="conditional GAN: sharp images; only the discriminator sees data",
    options=GANOptions,
    small=GANOptions(generator_channels=(8, 4), discriminator_channels=(4, 8), latent_size=4),
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
)
