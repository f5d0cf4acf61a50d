"""Autoencoders that learn from adversaries."""
