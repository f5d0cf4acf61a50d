"""Invented patients, whose images show what a real cohort would make difficult."""
