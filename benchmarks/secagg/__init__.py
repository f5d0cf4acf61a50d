"""What `benchmarks/secure_aggregation.py` compares: our protocol, Flower's, and the floor under both."""
