"""What families share: networks, conditioning, folding of patients into rows."""
