"""The family `diffusion`: a denoiser, and images drawn from noise in many small steps."""

from __future__ import annotations

from fedgen.families.parts.denoising.family import DenoisingFamily


class DiffusionFamily(DenoisingFamily):
    """One UNet, one objective."""
