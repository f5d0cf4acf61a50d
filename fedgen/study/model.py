"""Section `model`: which family, and each family's options.

All families' options stand side by side, so that `--set model.family=vae` turns a whole study to
another family without touching anything else.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.study.section import Section

FamilyName = Literal["vae", "gan", "diffusion"]


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


class DiffusionOptions(Section):
    """Diffusion (Karras et al. 2022) on MONAI's DiffusionModelUNet.

    S_churn to S_noise are read by the sampler churn alone, eta by ddim. Their defaults are those of DPDM
    (Dockhorn et al. 2023) for FID, with 1000 steps; for accuracy it has S_churn 10 and S_min 0.1.
    """

    channels: tuple[int, ...] = Field(
        (16, 32, 32), min_length=2, description="channels of each UNet level; multiples of 8", strict=False
    )
    attention: tuple[bool, ...] = Field(
        (False, False, True),
        description="self-attention at each UNet level; as many as channels",
        strict=False,
    )
    residual_blocks: int = Field(1, ge=1, description="residual blocks a level")
    linear_denoisers: bool = Field(
        True,
        description="a Wiener filter and an affine map beside the UNet, which learn in few steps; written for the "
        "target of edm and for sides that are multiples of 8",
    )
    parametrization: Literal["edm", "v"] = Field(
        "edm",
        description="what the UNet predicts; v suits an epsilon below 1, ignores sigma_data, P_mean and P_std, and "
        "needs linear_denoisers false",
    )
    label_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of images trained without their label, K draws together; DPDM has 0.1",
    )
    sigma_data: float = Field(
        0.5, gt=0, description="standard deviation of the data in [-1, 1]; a public constant"
    )
    P_mean: float = Field(-0.4, description="mean of ln sigma in training")
    P_std: float = Field(1.2, gt=0, description="standard deviation of ln sigma in training")
    sigma_min: float = Field(0.002, gt=0, description="lowest noise level of the sampler")
    sigma_max: float = Field(80.0, gt=0, description="highest noise level of the sampler")
    rho: float = Field(7.0, gt=0, description="how the sampler's noise levels crowd towards sigma_min")
    sampler: Literal["heun", "churn", "ddim"] = Field(
        "heun", description="how images are made: deterministic, with added noise, or by first-order steps"
    )
    sampler_steps: int = Field(18, ge=2, description="steps of the sampler")
    S_churn: float = Field(100.0, ge=0, description="noise that churn adds over all steps")
    S_min: float = Field(0.05, ge=0, description="lowest noise level at which churn adds noise")
    S_max: float = Field(50.0, ge=0, description="highest noise level at which churn adds noise")
    S_noise: float = Field(1.0, gt=0, description="standard deviation of the noise that churn adds")
    eta: float = Field(0.0, ge=0, le=1, description="noise that ddim adds: 0 none, 1 as in DDPM")
    guidance: float = Field(
        0.0, ge=0, description="strength of classifier-free guidance; needs label_dropout above 0"
    )
    learning_rate: float = Field(2e-3, gt=0, description="of Adam")

    @model_validator(mode="after")
    def _levels(self) -> Self:
        if len(self.attention) != len(self.channels):
            raise ValueError(
                f"attention has {len(self.attention)} entries but channels has {len(self.channels)}, "
                "and each level needs one of both"
            )
        if any(c % 8 for c in self.channels):
            raise ValueError("channels must be multiples of 8 (GroupNorm with 8 groups)")
        if self.parametrization == "v" and self.linear_denoisers:
            raise ValueError(
                "parametrization v needs linear_denoisers: false, because they are written for the target of edm"
            )
        if self.guidance > 0 and self.label_dropout == 0:
            raise ValueError(
                "guidance needs label_dropout above 0, or the UNet never learns to do without a label"
            )
        if not self.sigma_min < self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min:g}) must be below sigma_max ({self.sigma_max:g})")
        return self

    @property
    def stochastic(self) -> bool:
        """Whether the sampler adds noise of its own on the way."""
        return self.sampler == "churn" or (self.sampler == "ddim" and self.eta > 0)


class Pretrained(Section):
    """Weights that training starts from, made from other data: `fedgen export` writes the file and these lines."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the safetensors file, in hexadecimal")
    source: str = Field(
        pattern=r"^\S[^\n]*\S$",
        max_length=2000,
        description="what the weights were trained on, by which licence; every site reads it before it approves",
    )


class Adapters(Section):
    """Low-rank adapters (LoRA, Hu et al. 2021): W + (alpha / rank) B A, with the pretrained W frozen.

    Only A and B are trained, clipped, noised and sent.
    """

    rank: int = Field(
        4, ge=1, le=256, description="r: inner dimension of B A; a smaller layer has a smaller one"
    )
    alpha: float = Field(4.0, gt=0, description="B A is scaled by alpha / rank")
    targets: tuple[Literal["attention", "convolution", "linear"], ...] = Field(
        ("attention", "convolution", "linear"),
        min_length=1,
        strict=False,
        description="which layers: those of attention, 2D convolutions, and all other linear layers",
    )


class ModelSection(Section):
    """The generative model."""

    pretrained: Pretrained | None = Field(
        None, description="training then starts from weights drawn from the study's seed"
    )
    adapters: Adapters | None = Field(None, description="all weights are then trained")
    family: FamilyName = Field("diffusion", description="which family is trained; `fedgen models` lists them")
    vae: VAEOptions = Field(default_factory=lambda: VAEOptions())
    gan: GANOptions = Field(default_factory=lambda: GANOptions())
    diffusion: DiffusionOptions = Field(default_factory=lambda: DiffusionOptions())

    @model_validator(mode="after")
    def _frozen_weights(self) -> Self:
        if self.adapters is not None and self.pretrained is None:
            raise ValueError(
                "adapters need pretrained: they leave every other weight as it is, and a network frozen at random "
                "weights learns nothing"
            )
        return self
