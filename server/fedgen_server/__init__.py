"""What a coordinator runs: the Flower ServerApp that drives a study's rounds."""
