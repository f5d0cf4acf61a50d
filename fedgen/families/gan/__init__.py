"""A conditional GAN whose discriminator alone reads patients."""
