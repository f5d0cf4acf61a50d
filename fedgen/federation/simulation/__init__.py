"""A whole federation on one machine, with Flower's engine."""
