"""Pairs of an image and its mask: a private generator of masks, and an image drawn for each of its masks."""
