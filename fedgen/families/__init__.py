"""Generative families: a folder each, found by walking this one."""
