"""The family `vae`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class VAEOptions(Section):
    """Conditional variational autoencoder (Kingma and Welling 2014; Sohn et al. 2015)."""

    channels: tuple[int, ...] = Field(
        (8, 16, 32, 32), min_length=2, description="channels of each encoder level", strict=False
    )
    latent_size: int = Field(16, ge=2, description="dimensions of the latent vector")
    beta: float = Field(1.0, gt=0, description="weight of the KL term (Higgins et al. 2017)")
    reconstruction_std: float = Field(
        0.3, gt=0, description="standard deviation of the Gaussian likelihood, in the units of [-1, 1] images"
    )
    learning_rate: float = Field(2e-3, gt=0, description="of Adam")


SPEC = FamilySpec(
    name="vae",
    summary="conditional variational autoencoder: fast and stable, smooth images",
    options=VAEOptions,
    small=VAEOptions(channels=(4, 8), latent_size=4),
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
)
