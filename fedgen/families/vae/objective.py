"""The one objective of the family `vae`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.vae.mmd import PRIOR_DRAWS, discrepancy
from fedgen.families.vae.options import VAEOptions
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task


class NegativeELBO(Objective):
    """The negative evidence lower bound, in nats a pixel.

    -ELBO / D = mean over the D pixels of (x - x_hat)^2 / (2 s^2) + beta KL / D, for a Gaussian likelihood of
    standard deviation s. The constant ln(s sqrt(2 pi)) is left out, so that with a KL in closed form the loss is never
    negative. Both terms are divided by the same D: a KL weighted by 1 beside a mean over pixels would be D times too
    strong, and z ignored.

    InfoVAE adds mmd MMD^2 / D, of a patient's own latents (`mmd`).
    """

    name = "vae"
    updates = ("vae",)
    touches_data = True

    def __init__(self, task: Task, options: VAEOptions) -> None:
        self.task = task
        self.options = options
        # The loss of a reconstruction wrong by a quarter of the intensity range at every pixel.
        self.loss_bound = 0.125 / options.reconstruction_std**2
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`eps`: (B, M, K, latent_size) standard normal; `prior` likewise, several for each, where mmd asks for it."""
        o = self.options
        draws = {"eps": torch.randn(B, M, K, o.latent_size, generator=rng, device=rng.device)}
        if o.mmd:
            shape = (B, M, K, PRIOR_DRAWS, o.latent_size - o.condition_latent)
            draws["prior"] = torch.randn(shape, generator=rng, device=rng.device)
        return draws

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,), in nats a pixel."""
        if records is None:
            raise ValueError("the VAE's objective needs records")
        o, eps, weights = self.options, draws["eps"], records.weights["patient"]
        B, M, K, _ = eps.shape
        images, given = stacked(self.task, records.fields), condition_of(self.task, records.fields, weights)
        x, condition = fold(images, given, K)
        encoded = networks["vae"](x, condition, rows(eps), B)
        squared_error = (x - encoded.reconstruction).square().flatten(1).mean(dim=1)
        D = x[0].numel()
        losses = squared_error / (2 * o.reconstruction_std**2) + o.beta * encoded.divergence / D
        loss = patient_mean(losses, weights)
        if o.mmd:
            z = encoded.z[:, o.condition_latent :].reshape(B, M * K, -1)
            of_each = (weights / K)[:, :, None].expand(B, M, K).flatten(1)
            loss = loss + o.mmd * discrepancy(z, of_each, draws["prior"].flatten(1, 3)) / D
        return loss
