"""Measures of a translation: targets made of test patients' own images, beside the real ones."""
