"""The run directory: typed files and events, checkpoints; the one atomic writer, journal and lock."""
