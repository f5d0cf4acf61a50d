"""The family `vq`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class VQOptions(Section):
    """Vector-quantised autoencoder (van den Oord et al. 2017), and a prior over its codes given the condition.

    Both read patients, and step together. The autoencoder knows no condition: all that differs between conditions is
    in the codes.
    """

    channels: tuple[int, ...] = Field(
        (16, 32, 32),
        min_length=1,
        description="channels of each encoder level, which halves the sides",
        strict=False,
    )
    residual_blocks: int = Field(1, ge=1, description="residual blocks a level")
    hierarchical: bool = Field(
        False,
        description="a second, coarser level of codes on which the finer ones depend (Razavi et al. 2019)",
    )
    codes: int = Field(64, ge=2, le=8192, description="codes in the codebook of each level")
    code_size: int = Field(8, ge=2, description="numbers of a code")
    commitment: float = Field(0.25, gt=0, description="weight of the loss that ties encodings to their codes")
    codebook: Literal["gradient", "ema"] = Field(
        "gradient",
        description="how codes are learned: by their gradient, or as moving averages of the encodings that chose them, "
        "which every batch writes outside of clip and noise and which privacy.mode none alone therefore takes",
    )
    ema_decay: float = Field(0.99, gt=0, lt=1, description="of those moving averages")
    prior: Literal["transformer", "diffusion"] = Field(
        "transformer",
        description="how codes are drawn: one after another, or many at a time by absorbing diffusion (Austin et al. "
        "2021)",
    )
    prior_width: int = Field(64, ge=8, description="numbers of a token in the prior's transformer")
    prior_depth: int = Field(3, ge=1, description="its blocks")
    prior_heads: int = Field(4, ge=1, description="its attention heads; prior_width is a multiple")
    prior_steps: int = Field(
        16, ge=1, description="steps in which diffusion draws the codes; not read by transformer"
    )
    reconstruction_std: float = Field(
        0.3, gt=0, description="standard deviation of the Gaussian likelihood, in the units of [-1, 1] images"
    )
    learning_rate: float = Field(2e-3, gt=0, description="of Adam for the autoencoder")
    prior_learning_rate: float = Field(1e-3, gt=0, description="of Adam for the prior")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.prior_width % self.prior_heads:
            raise ValueError(f"prior_width must be a multiple of prior_heads ({self.prior_heads})")
        return self


SPEC = FamilySpec(
    name="vq",
    summary="quantised autoencoder with a prior over its codes: two networks to train, and more steps than vae",
    options=VQOptions,
    small=VQOptions(channels=(16, 16), codes=16, code_size=8, prior_width=16, prior_depth=1, prior_heads=2),
    supports=creation_in(2, 3),
    private=True,
)
