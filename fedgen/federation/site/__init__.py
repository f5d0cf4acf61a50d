"""A site at work: rounds, charges, sessions of secure aggregation, refusals."""
