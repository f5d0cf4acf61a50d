"""What classifiers learn from the release, beside what they learn from real patients."""
