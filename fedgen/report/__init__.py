"""The report: one HTML file of what a run is."""
