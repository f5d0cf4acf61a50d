"""File formats: one module each, found by walking this folder."""
