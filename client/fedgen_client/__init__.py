"""What a hospital runs: the Flower ClientApp bound to one site's own data, policy and ledger."""
