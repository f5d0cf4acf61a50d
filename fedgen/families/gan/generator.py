"""What the generator of a GAN is trained on: the discriminator's verdict, and no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedgen.families.contract import Adam, Apply, Draws, Memory, Objective
from fedgen.families.gan.adaptive import AdaptiveRule, ScheduleState
from fedgen.families.gan.augmentation import pull, within
from fedgen.families.gan.auxiliary import guess_loss
from fedgen.families.gan.networks import numbers_of
from fedgen.families.gan.options import GANOptions
from fedgen.families.gan.pace import Pace, betas_of
from fedgen.families.parts.adversarial import ADVERSARIAL
from fedgen.families.parts.augment import augmented, numbers
from fedgen.families.parts.conditioning import condition_of, drawn_fields
from fedgen.families.parts.folding import rows
from fedgen.task.records import Records
from fedgen.task.task import Task

#: Random numbers of the augmentation.
AUGMENT = "augment"


@dataclass(frozen=True)
class _Verdict:
    """What the discriminator says of R fakes: logits (R,), guesses (R, width) and the condition (R, width)."""

    logits: Tensor
    guess: Tensor
    condition: Tensor


class GeneratorObjective(Objective):
    """To be taken for real, such as -log D(G(z, y), y), with conditions drawn uniformly.

    Uniformly, because how often a site has which is private.

    Its turns come after a fixed number of the discriminator's, or as `AdaptiveRule` decides. Each site adapts by
    itself, from the fakes of its own turns: post-processing, since no data and nothing but the private
    discriminator enters.
    """

    name = "generator"
    touches_data = False

    def __init__(self, task: Task, options: GANOptions) -> None:
        self.task = task
        self.options = options
        self.pace = Pace(task, options)
        self.game = ADVERSARIAL[options.loss]
        self.loss_bound = self.game.bound
        self.updates = ("generator", "augmentation") if options.augmentation_target else ("generator",)
        self.paced = options.progressive is not None
        self.every = options.discriminator_steps
        threshold = options.adaptive_threshold
        self.rule = None if threshold is None else AdaptiveRule(threshold)
        self.optimizer = Adam(options.learning_rate, betas_of(options))

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`z`: (B, M, K, `numbers_of`) standard normal; the task's conditions by name, (B, M, K, ...)."""
        z = torch.randn(B, M, K, numbers_of(self.task.stack, self.options), generator=rng, device=rng.device)
        drawn = {"z": z, **drawn_fields(self.task, (B, M, K), rng)}
        if self.options.augments:
            n = numbers(self.task.stack.dimensions)
            drawn[AUGMENT] = torch.rand(B, M, K, n, generator=rng, device=rng.device)
        return drawn

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each of B groups of M*K fakes, (B,)."""
        if records is not None:
            raise ValueError("the generator's objective must not see records")
        verdict = self._judged(networks, draws)
        losses = self.game.generator(verdict.logits)
        if verdict.guess.shape[1]:
            wrong = guess_loss(self.task, verdict.guess, verdict.condition)
            losses = losses + self.options.auxiliary_weight * wrong
        total = losses.reshape(draws["z"].shape[0], -1).mean(dim=1)
        target = self.options.augmentation_target
        return total if target is None else total + pull(networks["augmentation"](), verdict.logits, target)

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
        accuracy = float((self._judged(networks, draws).logits < 0).double().mean())
        return self.rule.turn(state, accuracy).tensors()

    def _judged(self, networks: Mapping[str, Apply], draws: Draws) -> _Verdict:
        """The discriminator's verdict on the turn's fakes; logits are below 0 where it recognises one."""
        z = rows(draws["z"])
        fields = {field.name: rows(draws[field.name]) for field in self.task.conditions}
        y = condition_of(self.task, fields, z[:, 0])
        stage = self.pace.stage(draws, z)
        if stage is not None:
            stage = self.pace.of_rows(stage, len(z) // len(stage))
        fakes = networks["generator"](z, y, stage)
        if self.options.augments:
            adapts = self.options.augmentation_target is not None
            p = within(networks["augmentation"]()) if adapts else self.options.augmentation
            fakes = augmented(fakes, rows(draws[AUGMENT]), p)
        logits, guess = networks["discriminator"](fakes, y, stage)
        return _Verdict(logits, guess, y)
