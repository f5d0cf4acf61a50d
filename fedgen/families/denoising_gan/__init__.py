"""A denoising diffusion GAN."""
