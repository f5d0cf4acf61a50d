"""Few large denoising steps, each learned in a game (Xiao et al. 2022, arXiv 2112.07804)."""
