"""Autoencoders with adversaries: VAE-GAN, adversarial autoencoder, IntroVAE and alpha-GAN."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Attack, Family, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean
from fedgen.families.parts.minus_loss import minus_loss
from fedgen.families.parts.sampling import CHUNK, decode_in_chunks, device_of
from fedgen.families.vae_gan.games import objectives
from fedgen.families.vae_gan.networks import CodeDecoder, Critic, Discriminator, Encoder
from fedgen.families.vae_gan.options import VAEGANOptions
from fedgen.families.vae_gan.terms import Passes, Term, judged, reconstructed
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task
from fedgen_privacy.gradients.protocol import pieces

#: Latent draws an image in a membership score.
MEMBERSHIP_DRAWS = 8


class VAEGANFamily(Family):
    """The networks that the kind's objectives move, and these objectives."""

    def __init__(self, task: Task, options: VAEGANOptions) -> None:
        self.task = task
        self.options = options
        self.objectives = objectives(task, options)

    def networks(self) -> dict[str, nn.Module]:
        """`encoder` and `decoder`; `discriminator` and `critic` where the kind has them."""
        stack, condition, o = self.task.stack, self.task.condition_width, self.options
        makers: dict[str, Callable[[], nn.Module]] = {
            "encoder": lambda: Encoder(stack, condition, o),
            "decoder": lambda: CodeDecoder(stack, condition, o),
            "discriminator": lambda: Discriminator(stack, condition, o),
            "critic": lambda: Critic(condition, o),
        }
        moved = {name for objective in self.objectives for name in objective.updates}
        return {name: make().eval() for name, make in makers.items() if name in moved}

    def contributions(self) -> tuple[Objective, ...]:
        """The kind's."""
        return self.objectives

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images of latents drawn from the prior, (n, C, *size) float32 in [-1, 1]."""
        decoder = networks["decoder"]
        z = torch.randn(n, self.options.latent_size, generator=rng, device=rng.device)
        return decode_in_chunks(decoder, z, condition_of(self.task, given, z[:, 0]), device_of(decoder))

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Minus the first objective's loss, (B,): how well an image comes back, and how likely its latent is."""
        return minus_loss(self.objectives[0], networks, records, K=MEMBERSHIP_DRAWS, chunk=16, rng=rng)

    def attacks(self) -> Mapping[str, Attack]:
        """The loss, how an image comes back, and where the kind has a discriminator what it says of the image."""
        found: dict[str, Attack] = {"loss": self.score, "reconstruction": self._by(reconstructed)}
        if any("discriminator" in objective.updates for objective in self.objectives):
            found["discriminator"] = self._by(judged)
        return found

    def _by(self, term: Term) -> Attack:
        """A term of each image on its way through the middle of its posterior, higher for what is known."""

        def score(networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
            scores = []
            for part in pieces(records, CHUNK):
                weights = part.weights["patient"]
                given = condition_of(self.task, part.fields, weights)
                x, y = fold(stacked(self.task, part.fields), given, 1)
                middle = x.new_zeros(len(x), self.options.latent_size)
                scores.append(patient_mean(term(Passes(networks, x, y, middle, middle)), weights))
            return torch.cat(scores).float()

        return score
