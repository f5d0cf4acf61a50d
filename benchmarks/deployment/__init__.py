"""What `benchmarks/federation.py` runs: our federation and stock Flower's, as real processes on this machine."""
