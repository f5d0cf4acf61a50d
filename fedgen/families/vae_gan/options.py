"""The family `vae_gan`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class VAEGANOptions(Section):
    """An autoencoder with adversaries.

    Every kind has an encoder and a decoder; which other networks, and what each of them learns, is the kind's.
    """

    kind: Literal["vae_gan", "adversarial", "intro", "alpha"] = Field(
        "vae_gan",
        description="VAE-GAN (Larsen et al. 2016): likeness in a discriminator's features; adversarial autoencoder "
        "(Makhzani et al. 2016): a critic of latents in place of the KL; IntroVAE (Huang et al. 2018): the encoder is "
        "the critic of images; alpha-GAN (Rosca et al. 2017): discriminator and critic both",
    )
    channels: tuple[int, ...] = Field(
        (16, 32, 32), min_length=2, description="channels of each level of encoder and decoder", strict=False
    )
    discriminator_channels: tuple[int, ...] = Field(
        (16, 32, 64), min_length=2, description="channels of each discriminator level", strict=False
    )
    critic_width: int = Field(64, ge=2, description="units of each of the critic's two hidden layers")
    latent_size: int = Field(32, ge=2, description="dimensions of the latent vector")
    reconstruction_std: float = Field(
        0.3, gt=0, description="standard deviation of the Gaussian likelihood, in the units of [-1, 1] images"
    )
    features: float = Field(
        1.0, ge=0, description="weight of likeness in the discriminator's features, of kind vae_gan"
    )
    adversary: float = Field(
        0.1, gt=0, description="weight of what adversaries say in the autoencoder's loss, in nats an image"
    )
    margin: float = Field(
        10.0,
        gt=0,
        description="KL in nats up to which the encoder pushes the model's own images, of kind intro",
    )
    learning_rate: float = Field(1e-3, gt=0, description="of Adam")


SPEC = FamilySpec(
    name="vae_gan",
    summary="autoencoder with adversaries (VAE-GAN, AAE, IntroVAE, alpha-GAN): less stable than vae",
    options=VAEGANOptions,
    small=VAEGANOptions(channels=(4, 8), discriminator_channels=(4, 8), critic_width=8, latent_size=4),
    supports=creation_in(2, 3),
    private=True,
)
