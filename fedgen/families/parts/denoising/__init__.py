"""What every family that denoises step by step is made of: parametrizations, samplers, a U-Net and its objective."""
