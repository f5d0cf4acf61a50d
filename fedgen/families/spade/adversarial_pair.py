"""The kind gan: a discriminator of pairs reads patients, and the generator learns from it with drawn masks alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import softplus

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.conditioning import condition_of, drawn_fields
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.spade.mask_generator import hard_masks, mask_of
from fedgen.families.spade.options import SpadeOptions
from fedgen.task.records import Records
from fedgen.task.task import Task

#: Radford et al. 2016: less momentum, against oscillation of the two players.
BETAS = (0.5, 0.999)


class PairDiscriminatorObjective(Objective):
    """-log D(x, m) - log(1 - D(G(m, z), m)), mean over patches: each image beside K fakes for its own mask.

    For its own mask, so that the discriminator judges how an image follows a mask and not how masks are drawn. The
    fakes are made at the site, inside the one loss whose gradient is clipped, and never leave it.
    """

    name = "discriminator"
    updates = ("discriminator",)
    touches_data = True
    #: an undecided discriminator has 2 ln 2 = 1.4
    loss_bound = 4.0

    def __init__(self, task: Task, options: SpadeOptions) -> None:
        self.task = task
        self.latent_size = options.latent_size
        self.optimizer = Adam(options.learning_rate, BETAS)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`z`: (B, M, K, latent_size) standard normal."""
        return {"z": torch.randn(B, M, K, self.latent_size, generator=rng, device=rng.device)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the discriminator's objective needs records")
        weights = records.weights["patient"]
        given = condition_of(self.task, records.fields, weights)
        masks = records.fields[mask_of(self.task)[0]]
        B, M = weights.shape
        K = draws["z"].shape[2]
        x, y = fold(records.fields["image"], given, 1)
        m, (m_fake, y_fake) = fold(masks, given, 1)[0], fold(masks, given, K)
        fakes = networks["generator"](m_fake, rows(draws["z"]), y_fake).detach()
        # One call for real and fake, no layer looks across rows; the rows of a patient stay neighbours.
        both = [
            torch.cat([a.unflatten(0, (B, -1)), b.unflatten(0, (B, -1))], dim=1).flatten(0, 1)
            for a, b in ((x, fakes), (m, m_fake), (y, y_fake))
        ]
        logits = networks["discriminator"](*both).reshape(B, M + M * K, -1)
        real = patient_mean(softplus(-logits[:, :M]).mean(dim=2).flatten(), weights)
        return real + patient_mean(softplus(logits[:, M:]).mean(dim=2).flatten(), weights)


class MaskedGeneratorObjective(Objective):
    """-log D(G(m, z), m) with masks m that the masks' decoder draws, and conditions drawn uniformly: no patient's."""

    name = "generator"
    updates = ("generator",)
    touches_data = False
    loss_bound = 4.0

    def __init__(self, task: Task, options: SpadeOptions) -> None:
        self.task = task
        self.latent_size, self.mask_latent_size = options.latent_size, options.mask_latent_size
        self.every = options.discriminator_steps
        self.optimizer = Adam(options.learning_rate, BETAS)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`z` and `z_mask`: (B, M, K, d) standard normal; the task's conditions by name, (B, M, K, ...)."""
        sizes = {"z": self.latent_size, "z_mask": self.mask_latent_size}
        latents = {n: torch.randn(B, M, K, d, generator=rng, device=rng.device) for n, d in sizes.items()}
        return {**latents, **drawn_fields(self.task, (B, M, K), rng)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each of B groups of M*K fakes, (B,)."""
        if records is not None:
            raise ValueError("the generator's objective must not see records")
        z = rows(draws["z"])
        y = condition_of(self.task, {name: rows(draw) for name, draw in draws.items()}, z[:, 0])
        masks = hard_masks(networks["mask_decoder"](rows(draws["z_mask"]), y)).detach()
        logits = networks["discriminator"](networks["generator"](masks, z, y), masks, y)
        return softplus(-logits).reshape(draws["z"].shape[0], -1).mean(dim=1)

    def why_never(self, steps: int) -> str | None:
        """Fewer steps than `discriminator_steps`."""
        if self.every <= steps:
            return None
        return (
            f"model.spade.discriminator_steps is {self.every} but a round has {steps} local steps, so that the "
            f"generator would never have a turn: set training.local_steps to a multiple of {self.every}"
        )
