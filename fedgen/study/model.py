"""Section `model`: which family, and each family's options.

All families' options stand side by side, so that `--set model.family=vae` turns a whole study to
another family without touching anything else.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.families.diffusion.options import DiffusionOptions
from fedgen.families.gan.options import GANOptions
from fedgen.families.parts.adapter_options import Adapters
from fedgen.families.vae.options import VAEOptions
from fedgen.schema.section import Section

FamilyName = Literal["vae", "gan", "diffusion"]


class Pretrained(Section):
    """Weights that training starts from, made from other data: `fedgen export` writes the file and these lines."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the safetensors file, in hexadecimal")
    source: str = Field(
        pattern=r"^\S[^\n]*\S$",
        max_length=2000,
        description="what the weights were trained on, by which licence; every site reads it before it approves",
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
