"""Metrics of a release: one file each, found by walking this folder."""
