"""A conditional variational autoencoder."""
