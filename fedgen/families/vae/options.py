"""The family `vae`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class VAEOptions(Section):
    """Conditional variational autoencoder (Kingma and Welling 2014; Sohn et al. 2015).

    All that is learned is learned by the one private objective, and sampling reads the model alone: no option costs
    privacy of its own.
    """

    channels: tuple[int, ...] = Field(
        (8, 16, 32, 32), min_length=2, description="channels of each encoder level", strict=False
    )
    latent_size: int = Field(16, ge=2, description="dimensions of the latent vector")
    beta: float = Field(
        1.0, ge=0, description="weight of the KL term (Higgins et al. 2017); 0 only beside mmd"
    )
    mmd: float = Field(
        0.0,
        ge=0,
        description="weight of InfoVAE's maximum mean discrepancy (Zhao et al. 2019), of each patient's own latents "
        "from the prior",
    )
    iaf_steps: int = Field(
        0,
        ge=0,
        le=8,
        description="steps of inverse autoregressive flow in the posterior (Kingma et al. 2016)",
    )
    iaf_hidden: int = Field(32, ge=2, description="hidden units of each of them")
    prior: Literal["standard", "mixture", "vamp"] = Field(
        "standard",
        description="a standard normal, a mixture of Gaussians that is learned, or one of the posteriors of "
        "pseudo-inputs that are learned (VampPrior, Tomczak and Welling 2018)",
    )
    prior_components: int = Field(10, ge=2, description="components of a learned prior")
    condition_latent: int = Field(
        0,
        ge=0,
        description="so many of the latent dimensions belong to the condition, through which alone the decoder hears "
        "of it (separated conditioning); 0 for a decoder that reads the condition itself",
    )
    sampling: Literal["prior", "geometry"] = Field(
        "prior",
        description="latents drawn from the prior, or where the model's own images lie, by Hamiltonian Monte Carlo "
        "(after RHVAE, Chadebec et al. 2021)",
    )
    geometry_centres: int = Field(100, ge=2, description="the model's own images that the metric is made of")
    geometry_steps: int = Field(50, ge=1, description="iterations of Hamiltonian Monte Carlo")
    reconstruction_std: float = Field(
        0.3, gt=0, description="standard deviation of the Gaussian likelihood, in the units of [-1, 1] images"
    )
    learning_rate: float = Field(2e-3, gt=0, description="of Adam")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        free = self.latent_size - self.condition_latent
        if free < 2:
            raise ValueError(
                f"condition_latent ({self.condition_latent}) must leave two dimensions of latent_size "
                f"({self.latent_size}) free"
            )
        if self.beta == 0 and self.mmd == 0:
            raise ValueError("beta 0 needs mmd above 0, or nothing ties latents to the prior")
        if self.mmd > 0 and self.prior != "standard":
            raise ValueError("mmd is measured from a standard normal: set prior to standard")
        if self.prior == "vamp" and self.iaf_steps:
            raise ValueError(
                "prior vamp needs the posterior's density at any latent, which a flow does not give: set iaf_steps to 0"
            )
        if self.sampling == "geometry" and (
            self.prior != "standard" or self.iaf_steps or self.condition_latent
        ):
            raise ValueError(
                "sampling geometry needs Gaussian posteriors and a standard normal prior: leave prior, iaf_steps and "
                "condition_latent out"
            )
        return self


SPEC = FamilySpec(
    name="vae",
    summary="conditional variational autoencoder: fast and stable, smooth images",
    options=VAEOptions,
    small=VAEOptions(channels=(4, 8), latent_size=4),
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
    variants={
        "mmd": VAEOptions(channels=(4, 8), latent_size=4, mmd=1.0),
        "flow": VAEOptions(channels=(4, 8), latent_size=4, iaf_steps=2, iaf_hidden=8),
        "separated": VAEOptions(channels=(4, 8), latent_size=6, condition_latent=2),
    },
)
