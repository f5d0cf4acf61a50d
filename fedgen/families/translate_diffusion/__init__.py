"""Translation by diffusion: one contrast drawn from noise beside others of the patient."""
