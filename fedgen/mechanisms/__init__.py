"""How a patient's contribution becomes private, at the site and at the coordinator: one file a mode."""
