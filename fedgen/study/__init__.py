"""What was asked: the study file as sections, with the options of the chosen family alone."""
