"""What both ends agree on before the first round."""
