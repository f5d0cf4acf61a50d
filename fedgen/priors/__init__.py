"""Public priors: what can be known of a kind of image without any patient of a study, and so is never paid for."""
