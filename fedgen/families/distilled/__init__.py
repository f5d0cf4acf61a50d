"""Diffusion distilled into a few large steps, on its own samples."""
