"""Strict files: one pydantic base, YAML with line numbers, problems as sentences, canonical JSON."""
