"""Other people's trackers of experiments, fed by a run's journal; none of them can stop a run."""
