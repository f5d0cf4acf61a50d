"""Both ends of a federation: what they agree on, how they reach each other, the site, the coordinator."""
