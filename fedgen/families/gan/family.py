"""Conditional GAN (Goodfellow et al. 2014; Mirza and Osindero 2014) whose discriminator alone sees data.

Under DP only the discriminator needs protection: the generator learns from the discriminator, which is
post-processing of what was already protected (Bie et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from fedgen.families.contract import Adam, Apply, Draws, Family, Memory, Objective
from fedgen.families.gan.adaptive import AdaptiveRule, ScheduleState
from fedgen.families.gan.networks import ConditionalDiscriminator, ConditionalGenerator
from fedgen.families.gan.options import GANOptions
from fedgen.families.parts.conditioning import condition_of, drawn_fields
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.parts.sampling import CHUNK, decode_in_chunks, device_of
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Radford et al. 2016: less momentum, against oscillation of the two players.
BETAS = (0.5, 0.999)


class DiscriminatorObjective(Objective):
    """-log D(x, y) - log(1 - D(G(z, y), y)): each image beside K fakes of its own condition, in one loss.

    One loss, because real and fake must share the one clip of their patient.
    """

    name = "discriminator"
    updates = ("discriminator",)
    touches_data = True
    #: an undecided discriminator has 2 ln 2 = 1.4
    loss_bound = 4.0

    def __init__(self, task: Task, options: GANOptions) -> None:
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
        images, given = stacked(self.task, records.fields), condition_of(self.task, records.fields, weights)
        B, M = weights.shape
        K = draws["z"].shape[2]
        x, y = fold(images, given, 1)
        y_fake = fold(images, given, K)[1]
        fakes = networks["generator"](rows(draws["z"]), y_fake).detach()
        # One call for real and fake, no layer looks across rows; the rows of a patient stay neighbours.
        pair = [
            torch.cat([a.unflatten(0, (B, -1)), b.unflatten(0, (B, -1))], dim=1)
            for a, b in ((x, fakes), (y, y_fake))
        ]
        logits = networks["discriminator"](*(both.flatten(0, 1) for both in pair)).reshape(B, -1)
        real = patient_mean(softplus(-logits[:, :M]).flatten(), weights)
        return real + patient_mean(softplus(logits[:, M:]).flatten(), weights)


class GeneratorObjective(Objective):
    """-log D(G(z, y), y), the non-saturating loss, with conditions drawn uniformly.

    Uniformly, because how often a site has which is private.

    Its turns come after a fixed number of the discriminator's, or as `AdaptiveRule` decides. Each site adapts by
    itself, from the fakes of its own turns: post-processing, since no data and nothing but the private
    discriminator enters.
    """

    name = "generator"
    updates = ("generator",)
    touches_data = False
    loss_bound = 4.0

    def __init__(self, task: Task, options: GANOptions) -> None:
        self.task = task
        self.latent_size = options.latent_size
        self.every = options.discriminator_steps
        threshold = options.adaptive_threshold
        self.rule = None if threshold is None else AdaptiveRule(threshold)
        self.optimizer = Adam(options.learning_rate, BETAS)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`z`: (B, M, K, latent_size) standard normal; the task's conditions by name, (B, M, K, ...)."""
        z = torch.randn(B, M, K, self.latent_size, generator=rng, device=rng.device)
        return {"z": z, **drawn_fields(self.task, (B, M, K), rng)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each of B groups of M*K fakes, (B,)."""
        if records is not None:
            raise ValueError("the generator's objective must not see records")
        return softplus(-_judged(self.task, networks, draws)).reshape(draws["z"].shape[0], -1).mean(dim=1)

    def why_never(self, steps: int) -> str | None:
        """Fewer steps than `discriminator_steps`, unless the adaptive schedule goes on from round to round."""
        if self.rule is not None or self.every <= steps:
            return None
        return (
            f"model.gan.discriminator_steps is {self.every} but a round has {steps} local steps, so that the generator "
            f"would never have a turn: set training.local_steps to a multiple of {self.every}, or "
            "model.gan.adaptive_threshold, whose schedule goes on from round to round"
        )

    def due(self, step: int, memory: Memory) -> bool:
        """Every `discriminator_steps`, or when the adaptive rule says so."""
        if self.rule is None:
            return super().due(step, memory)
        return self.rule.due(ScheduleState.of(memory, self.every))

    @torch.no_grad()
    def remember(self, networks: Mapping[str, nn.Module], draws: Draws | None, memory: Memory) -> Memory:
        """The adaptive rule's state; nothing where the schedule is fixed."""
        if self.rule is None:
            return memory
        state = ScheduleState.of(memory, self.every)
        if draws is None:
            return self.rule.wait(state).tensors()
        accuracy = float((_judged(self.task, networks, draws) < 0).double().mean())
        return self.rule.turn(state, accuracy).tensors()


def _judged(task: Task, networks: Mapping[str, Apply], draws: Draws) -> Tensor:
    """The discriminator's logits of the generator's turn, (B*M*K,); below 0 for a fake that it recognises."""
    z = rows(draws["z"])
    y = condition_of(task, {name: rows(draw) for name, draw in draws.items()}, z[:, 0])
    logits: Tensor = networks["discriminator"](networks["generator"](z, y), y)
    return logits


class GANFamily(Family):
    """Two networks, two objectives."""

    def __init__(self, task: Task, options: GANOptions) -> None:
        self.task = task
        self.options = options

    def networks(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        stack, condition = self.task.stack, self.task.condition_width
        return {
            "generator": ConditionalGenerator(stack, condition, self.options).eval(),
            "discriminator": ConditionalDiscriminator(stack, condition, self.options).eval(),
        }

    def contributions(self) -> tuple[Objective, ...]:
        """The discriminator's, then the generator's."""
        return (DiscriminatorObjective(self.task, self.options), GeneratorObjective(self.task, self.options))

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images of z drawn from the prior, (n, C, *size) float32 in [-1, 1]."""
        generator = networks["generator"]
        z = torch.randn(n, self.options.latent_size, generator=rng, device=rng.device)
        return decode_in_chunks(generator, z, condition_of(self.task, given, z[:, 0]), device_of(generator))

    @torch.no_grad()
    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """The discriminator's logit, (B,) (LOGAN, Hayes et al. 2019), which rises as its loss on x falls."""
        weights = records.weights["patient"]
        given = condition_of(self.task, records.fields, weights)
        images, conditions = fold(stacked(self.task, records.fields), given, 1)
        parts = zip(images.split(CHUNK), conditions.split(CHUNK), strict=True)
        logits = torch.cat([networks["discriminator"](x, y) for x, y in parts])
        return patient_mean(logits, weights).float()
