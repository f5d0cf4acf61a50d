"""What `benchmarks/scale.py` measures: more sites, longer vectors, worse lines, and many that wait."""
