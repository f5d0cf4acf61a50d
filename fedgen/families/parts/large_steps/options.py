"""Options of few large steps that are learned in a game."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.families.parts.denoising.options import UNetOptions


class LargeStepOptions(UNetOptions):
    """The game of Xiao et al. 2022 between a UNet, which is told a latent, and a discriminator of patches."""

    large_steps: int = Field(
        4, ge=1, le=8, description="steps, and calls of the UNet, for an image; published: 2 to 8, mostly 4"
    )
    latent_size: int = Field(
        32, ge=1, description="numbers of the latent, which the UNet reads anew at each step"
    )
    critic_channels: int = Field(16, ge=1, description="channels of the discriminator's first layer")
    critic_layers: int = Field(3, ge=1, description="layers of the discriminator, fewer on a small grid")
    critic_rate: float = Field(2e-3, gt=0, description="learning rate of Adam, for the discriminator")
    loss: Literal["non_saturating", "least_squares", "hinge"] = Field(
        "non_saturating", description="the game between UNet and discriminator, patch by patch"
    )
    slope_penalty: float = Field(
        0.0,
        ge=0,
        description="weight of half of |slope of the discriminator at a real image|^2 (R1; published: 0.05 to 1), "
        "which needs second derivatives and so gradients by vmap",
    )
    distance_weight: float = Field(
        0.5,
        ge=0,
        description="in the UNet's loss, of the distance in L1 from the image that it takes for the noiseless one to "
        "the patient's, where the game has the weight 1; published: 0",
    )
