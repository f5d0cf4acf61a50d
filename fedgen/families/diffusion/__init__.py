"""Diffusion models: two parametrizations, a U-Net and linear denoisers."""
