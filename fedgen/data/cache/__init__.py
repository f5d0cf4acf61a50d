"""Decoded images on disk, over all runs of a machine or a site: a file is decoded once for each way of preparing it."""
