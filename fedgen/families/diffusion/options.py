"""The family `diffusion`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec


class DiffusionOptions(DenoisingOptions):
    """Diffusion (Karras et al. 2022) on MONAI's DiffusionModelUNet, of pixels or of the code of an autoencoder.

    S_churn to S_noise are read by the sampler churn alone, eta by ddim. Their defaults are those of DPDM
    (Dockhorn et al. 2023) for FID, with 1000 steps; for accuracy it has S_churn 10 and S_min 0.1.
    """

    latent: Literal["none", "trained", "prior"] = Field(
        "none",
        description="what is denoised: pixels, or the code of an autoencoder (MONAI's AutoencoderKL): trained, in the "
        "same steps, by one vector and one clip with the UNet, and sigma_data is then that of the code, near 1; prior, "
        "public and never changed, of which model.prior names the file, and its code is scaled to sigma_data",
    )
    code_channels: int = Field(4, ge=1, description="of the code; with latent; with prior as in its file")
    autoencoder_channels: tuple[int, ...] = Field(
        (16, 32),
        min_length=2,
        description="channels of each of the autoencoder's levels, multiples of 8: each but the last halves the sides; "
        "with latent; with prior as in its file",
        strict=False,
    )
    kl_weight: float = Field(
        1e-2,
        ge=0,
        description="of the code's distance from a standard normal, a number of it; with latent trained",
    )

    @model_validator(mode="after")
    def _code(self) -> Self:
        if any(c % 8 for c in self.autoencoder_channels):
            raise ValueError("autoencoder_channels must be multiples of 8 (GroupNorm with 8 groups)")
        return self


def _prior_with(options: DiffusionOptions) -> str:
    if options.latent != "prior":
        return ""
    return "its latent is that of a public autoencoder (model.diffusion.latent), whose weights are in a file"


SMALL = DiffusionOptions(
    channels=(8, 16), attention=(False, True), sampler_steps=3, autoencoder_channels=(8, 8)
)

SPEC = FamilySpec(
    name="diffusion",
    summary="EDM diffusion on a UNet, of pixels or of a code: best images, slowest to train and sample",
    options=DiffusionOptions,
    small=SMALL,
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
    prior_with=_prior_with,
    systems={
        "latent: trained": SMALL.model_copy(update={"latent": "trained"}),
        "latent: prior": SMALL.model_copy(update={"latent": "prior", "autoencoder_channels": (16, 32)}),
    },
    variants={
        of: DiffusionOptions(
            channels=(8, 16), attention=(False, True), linear_denoisers=False, parametrization=of
        )
        for of in ("v", "ddpm", "flow")
    },
)
