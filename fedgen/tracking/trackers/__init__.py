"""One file a tracker, which no list names: its name is what follows `--track`."""
