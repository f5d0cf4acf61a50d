"""Feature extractors, offline: one file each, found by walking this folder."""
