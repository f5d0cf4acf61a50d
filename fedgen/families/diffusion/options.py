"""The family `diffusion`: what it says of itself, and its options."""

from __future__ import annotations

from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec


class DiffusionOptions(DenoisingOptions):
    __doc__ = DenoisingOptions.__doc__


SPEC = FamilySpec(
    name="diffusion",
    summary="EDM diffusion on a UNet: best images, slowest to train and sample",
    options=DiffusionOptions,
    small=DiffusionOptions(channels=(8, 16), attention=(False, True), sampler_steps=3),
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
    variants={
        of: DiffusionOptions(
            channels=(8, 16), attention=(False, True), linear_denoisers=False, parametrization=of
        )
        for of in ("v", "ddpm", "flow")
    },
)
