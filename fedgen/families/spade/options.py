"""The family `spade`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.families.parts.supported import pairs_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class SpadeOptions(Section):
    """Image and mask in two stages (Park et al. 2019, SPADE): a mask is drawn first, and an image for it.

    Masks come from a small variational autoencoder of this study's own, so that no patient's mask is ever needed to
    draw an image. `norm`, `latent_size` and the options of the discriminator are read by the kind gan alone,
    `attention`, `residual_blocks` and `sampler_steps` by diffusion.
    """

    kind: Literal["gan", "diffusion"] = Field(
        "gan",
        description="how the image is drawn for a mask: in one step against a discriminator, or by diffusion",
    )
    mask_channels: tuple[int, ...] = Field(
        (8, 16, 16),
        min_length=1,
        strict=False,
        description="channels of each level of the masks' autoencoder",
    )
    mask_latent_size: int = Field(8, ge=1, description="numbers of a mask's latent")
    mask_learning_rate: float = Field(2e-3, gt=0, description="of Adam, for the masks' autoencoder")
    channels: tuple[int, ...] = Field(
        (16, 32, 32),
        min_length=2,
        strict=False,
        description="channels of each level of the image's network, the finest first; multiples of 8",
    )
    spade_channels: int = Field(
        16, ge=1, description="hidden channels by which a mask reaches a normalisation"
    )
    norm: Literal["instance", "group", "batch"] = Field(
        "instance",
        description="what SPADE normalises by; batch looks across patients, and is refused under differential privacy",
    )
    latent_size: int = Field(16, ge=1, description="numbers of an image's latent, beside its mask")
    discriminator_channels: int = Field(
        16, ge=1, description="first channels of the discriminator, then doubled"
    )
    discriminator_layers: int = Field(
        2, ge=1, description="layers of the discriminator of patches after the first"
    )
    discriminator_steps: int = Field(1, ge=1, description="discriminator steps for each generator step")
    attention: bool = Field(False, description="self-attention at the coarsest level")
    residual_blocks: int = Field(1, ge=1, description="residual blocks a level")
    sampler_steps: int = Field(12, ge=1, description="steps of the sampler")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, for the image's networks")

    @model_validator(mode="after")
    def _groups(self) -> Self:
        if any(c % 8 for c in self.channels):
            raise ValueError("channels must be multiples of 8 (normalised in 8 groups)")
        return self


SPEC = FamilySpec(
    name="spade",
    summary="mask, then an image for it; masks come from a private generator",
    options=SpadeOptions,
    small=SpadeOptions(
        mask_channels=(4, 8),
        mask_latent_size=3,
        channels=(8, 8),
        spade_channels=4,
        latent_size=4,
        discriminator_channels=4,
        discriminator_layers=1,
        sampler_steps=2,
    ),
    supports=pairs_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
)
