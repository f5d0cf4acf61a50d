"""Options that every family has which denoises step by step."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section


class UNetOptions(Section):
    """MONAI's DiffusionModelUNet, and the linear denoisers beside it."""

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
    conditioning: Literal["embedding", "cross_attention"] = Field(
        "embedding",
        description="how the UNet reads what it is given: added to the embedding of the noise level, or as tokens that "
        "its attention looks at, which suits an embedding of a text or an image",
    )
    sigma_data: float = Field(
        0.5, gt=0, description="standard deviation of the data in [-1, 1]; a public constant"
    )

    @model_validator(mode="after")
    def _levels(self) -> Self:
        if len(self.attention) != len(self.channels):
            raise ValueError(
                f"attention has {len(self.attention)} entries but channels has {len(self.channels)}, "
                "and each level needs one of both"
            )
        if any(c % 8 for c in self.channels):
            raise ValueError("channels must be multiples of 8 (GroupNorm with 8 groups)")
        return self


class DenoisingOptions(UNetOptions):
    """Diffusion (Karras et al. 2022) on MONAI's DiffusionModelUNet.

    S_churn to S_noise are read by the sampler churn alone, eta by ddim. Their defaults are those of DPDM
    (Dockhorn et al. 2023) for FID, with 1000 steps; for accuracy it has S_churn 10 and S_min 0.1.
    """

    parametrization: Literal["edm", "v", "ddpm", "flow"] = Field(
        "edm",
        description="what the UNet predicts: EDM's mixture, v, the noise (ddpm) or a rectified flow's velocity; v "
        "suits an epsilon below 1; all but edm ignore sigma_data, P_mean and P_std, and need linear_denoisers false",
    )
    label_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of images trained without their label, K draws together; DPDM has 0.1",
    )
    P_mean: float = Field(-0.4, description="mean of ln sigma in training")
    P_std: float = Field(1.2, gt=0, description="standard deviation of ln sigma in training")
    sigma_min: float = Field(0.002, gt=0, description="lowest noise level of the sampler")
    sigma_max: float = Field(80.0, gt=0, description="highest noise level of the sampler")
    rho: float = Field(7.0, gt=0, description="how the sampler's noise levels crowd towards sigma_min")
    sampler: Literal["heun", "churn", "ddim", "dpm", "pndm"] = Field(
        "pndm",
        description="how images are made: heun, and churn, which adds noise, call the UNet twice a step; ddim, of "
        "first order, dpm (DPM-Solver++) and pndm once",
    )
    sampler_steps: int = Field(12, ge=2, description="steps of the sampler")
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
    def _agree(self) -> Self:
        if self.parametrization != "edm" and self.linear_denoisers:
            raise ValueError(
                f"parametrization {self.parametrization} needs linear_denoisers: false, because they are written for "
                "the target of edm"
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
