"""What extractors are made of: handcrafted features by kind."""
