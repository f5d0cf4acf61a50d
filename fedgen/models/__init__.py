"""Generative families: networks, objectives, samplers; importing this room registers every family."""

from fedgen.models import diffusion, gan, vae

__all__ = ["diffusion", "gan", "vae"]
