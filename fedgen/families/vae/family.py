"""Conditional variational autoencoder (Kingma and Welling 2014; Sohn et al. 2015) on MONAI's networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.contract import Attack, Family, Objective
from fedgen.families.parts.conditioning import condition_of, drawn_fields
from fedgen.families.parts.folding import fold, patient_mean
from fedgen.families.parts.minus_loss import minus_loss
from fedgen.families.parts.sampling import CHUNK, decode_in_chunks, device_of
from fedgen.families.vae.metric import Metric, hamiltonian
from fedgen.families.vae.networks import ConditionalVAE
from fedgen.families.vae.objective import NegativeELBO
from fedgen.families.vae.options import VAEOptions
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task
from fedgen_privacy.gradients.protocol import pieces, size_of

#: Latent draws an image in a membership score.
MEMBERSHIP_DRAWS = 8


class VAEFamily(Family):
    """One network, one objective.

    Raises:
        StudyError: a part of the latent is the condition's, and nothing is given.
    """

    def __init__(self, task: Task, options: VAEOptions) -> None:
        if options.condition_latent and not task.condition_width:
            raise StudyError(
                "model.vae.condition_latent needs a condition, but the task gives none: set it to 0."
            )
        self.task = task
        self.options = options
        self.objective = NegativeELBO(task, options)

    def networks(self) -> dict[str, nn.Module]:
        """`vae`."""
        return {"vae": ConditionalVAE(self.task.stack, self.task.condition_width, self.options).eval()}

    def contributions(self) -> tuple[Objective, ...]:
        """The negative ELBO."""
        return (self.objective,)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Mean images of latents drawn as `sampling` says, (n, C, *size) float32 in [-1, 1]."""
        vae: Any = networks["vae"]
        device = device_of(vae)
        noise = torch.randn(n, self.options.latent_size, generator=rng, device=rng.device)
        condition = condition_of(self.task, given, noise[:, 0])
        uniform = torch.rand(n, generator=rng, device=rng.device)
        if self.options.sampling == "geometry":
            z = self._on_manifold(vae, noise, uniform, rng)
        else:
            z = vae.drawn(*(draw.to(device) for draw in (noise, uniform, condition))).to(noise.device)
        return decode_in_chunks(vae.decode, z, condition, device)

    def _on_manifold(self, vae: Any, noise: Tensor, uniform: Tensor, rng: torch.Generator) -> Tensor:
        """(n, latent_size) latents where images lie that the model made of conditions nobody has (`geometry`)."""
        N, T, (n, d), device = (
            self.options.geometry_centres,
            self.options.geometry_steps,
            noise.shape,
            rng.device,
        )
        z = torch.randn(N, d, generator=rng, device=device)
        condition = condition_of(self.task, drawn_fields(self.task, (N,), rng), z[:, 0])
        momenta = torch.randn(T, n, d, generator=rng, device=device)
        accept = torch.rand(T, n, generator=rng, device=device)
        where = device_of(vae)
        images = decode_in_chunks(vae.decode, z, condition, where)
        q = vae.encode(images.to(where), condition.to(where))
        mu, logvar = (part.float().to(device) for part in q)
        metric, std = Metric.of(mu, logvar), torch.exp(0.5 * logvar)
        first = (uniform * N).long().clamp_max(N - 1)
        start = mu[first] + std[first] * noise
        return hamiltonian(metric.log_density, start, std.mean(dim=0), momenta, accept)

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """The ELBO a pixel, (B,), without its constant."""
        return minus_loss(self.objective, networks, records, K=MEMBERSHIP_DRAWS, chunk=16, rng=rng)

    def attacks(self) -> Mapping[str, Attack]:
        """The ELBO, and how an image comes back from the middle of its posterior."""
        return {"loss": self.score, "reconstruction": self._reconstruction}

    def _reconstruction(
        self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator
    ) -> Tensor:
        """Minus the mean squared error, (B,)."""
        scores = []
        for part in pieces(records, CHUNK):
            weights = part.weights["patient"]
            given = condition_of(self.task, part.fields, weights)
            x, condition = fold(stacked(self.task, part.fields), given, 1)
            middle = x.new_zeros(len(x), self.options.latent_size)
            again = networks["vae"](x, condition, middle, size_of(part)).reconstruction
            scores.append(-patient_mean((again - x).square().flatten(1).mean(dim=1), weights))
        return torch.cat(scores).float()
