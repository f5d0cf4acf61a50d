"""Where a page is, and where a program reads its numbers: for the guard before them, which imports nothing else."""

ROOT, METRICS = "/page", "/metrics"
