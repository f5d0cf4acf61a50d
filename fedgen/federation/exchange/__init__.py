"""How the coordinator reaches sites: one contract, in this process or over Flower."""
