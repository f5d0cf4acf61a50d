"""The stages in order, each a function of the run directory that can be run again."""
