"""A GAN that translates images of a patient into another contrast, from pairs or without them."""
