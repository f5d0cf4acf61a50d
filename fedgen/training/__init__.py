"""A site's local steps: the one trainer of every family, gradients, vectors, optimizer state."""
