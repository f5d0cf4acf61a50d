"""Weights that others have published, read without running anything of theirs."""
