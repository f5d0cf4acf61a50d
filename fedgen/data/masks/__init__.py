"""Masks: what their values mean, and where they lie on their images."""
