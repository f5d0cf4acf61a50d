"""What both players of a large step learn from patients (Xiao et al. 2022, equations 4 and 5).

The discriminator sees x_{t-1} and x_t of a patient, and x_t beside what was made of it. The generator sees the same
x_t, which is a patient's image with noise: both read data, and under privacy they are one vector with one clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.adversarial import ADVERSARIAL, squared_slopes
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.parts.large_steps.options import LargeStepOptions
from fedgen.families.parts.large_steps.seen_pictures import SeenPictures
from fedgen.families.parts.large_steps.step_levels import LargeSteps
from fedgen.families.parts.large_steps.steps import CRITIC, GENERATOR, GivenRows, Players
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Radford et al. 2016: less momentum, against oscillation of the two players.
BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class _Read:
    """R = B*M*K rows: images x_0 (R, ...), steps t (R,), what is given, and weights (B, M) of their images."""

    x_0: Tensor
    t: Tensor
    row: GivenRows
    weights: Tensor


class _OfPlayer(Objective):
    """What both objectives read of a patient.

    Args:
        task: what is made of what.
        options: of the steps and the game.
        learning_rate: of Adam.
        beside: pictures that are seen.
    """

    touches_data = True
    #: images of noise among the draws
    noises: tuple[str, ...]

    def __init__(
        self, task: Task, options: LargeStepOptions, learning_rate: float, beside: SeenPictures
    ) -> None:
        self.task, self.options, self.beside = task, options, beside
        self.steps = LargeSteps.of(options.large_steps)
        self.game = ADVERSARIAL[options.loss]
        self.optimizer = Adam(learning_rate, BETAS)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`t`: (B, M, K) steps; `z` standard normal latents, `noise`, `further` and `back` standard normal images.

        Beside them what the pictures that are seen ask for.
        """
        shape, images = (B, M, K), (B, M, K, *self.task.stack.shape)
        drawn = {name: torch.randn(images, generator=rng, device=rng.device) for name in self.noises}
        return {
            "t": torch.randint(1, self.steps.count + 1, shape, generator=rng, device=rng.device),
            "z": torch.randn(*shape, self.options.latent_size, generator=rng, device=rng.device),
            **drawn,
            **self.beside.draw(B, M, K, rng),
        }

    def read(self, records: Records | None, draws: Draws) -> _Read:
        """Rows of the records' images, K of each."""
        if records is None:
            raise ValueError(f"the objective {self.name} needs records")
        K, weights = draws["t"].shape[2], records.weights["patient"]
        given = condition_of(self.task, records.fields, weights)
        x_0, condition = fold(stacked(self.task, records.fields), given, K)
        row = GivenRows(condition, self.beside.of_records(records, draws, K))
        return _Read(x_0, rows(draws["t"]), row, weights)

    def players(self, networks: Mapping[str, Apply]) -> Players:
        """Of these networks."""
        return Players(networks, self.steps, self.options.sigma_data)


class StepCriticObjective(_OfPlayer):
    """Which x_{t-1} beside x_t is of a patient, and which was made of x_t."""

    name = CRITIC
    updates = (CRITIC,)
    noises = ("noise", "further", "back")

    def __init__(self, task: Task, options: LargeStepOptions, beside: SeenPictures) -> None:
        super().__init__(task, options, options.critic_rate, beside)
        self.loss_bound = self.game.bound
        self.second_order = options.slope_penalty > 0

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        read, players = self.read(records, draws), self.players(networks)
        before, x_t = self.pair(read, draws)
        guess = players.noiseless(x_t, read.t, rows(draws["z"]), read.row)
        made = self.steps.step_back(guess, x_t, read.t, rows(draws["back"])).detach()

        def verdict(image: Tensor) -> Tensor:
            return players.verdict(image, x_t, read.t, read.row)

        losses = self.game.real(verdict(before)).mean(dim=1) + self.game.fake(verdict(made)).mean(dim=1)
        if self.options.slope_penalty:
            slopes = squared_slopes(lambda image: verdict(image).mean(dim=1), before)
            losses = losses + 0.5 * self.options.slope_penalty * slopes
        return patient_mean(losses, read.weights)

    def pair(self, read: _Read, draws: Draws) -> tuple[Tensor, Tensor]:
        """x_{t-1} and x_t of each row."""
        before = self.steps.noised(read.x_0, read.t - 1, rows(draws["noise"]))
        return before, self.steps.further(before, read.t, rows(draws["further"]))

    def known(self, networks: Mapping[str, Apply], records: Records, draws: Draws) -> Tensor:
        """The mean logit of each patient's own pairs, (B,)."""
        read = self.read(records, draws)
        logits = self.players(networks).verdict(*self.pair(read, draws), read.t, read.row)
        return patient_mean(logits.mean(dim=1), read.weights)


class StepObjective(_OfPlayer):
    """To make an x_{t-1} of x_t that is taken for a patient's."""

    name = GENERATOR
    updates = (GENERATOR,)
    noises = ("noise", "back")

    def __init__(
        self, task: Task, options: LargeStepOptions, learning_rate: float, beside: SeenPictures
    ) -> None:
        super().__init__(task, options, learning_rate, beside)
        #: images lie in [-1, 1], and the distance of two that have nothing in common is about 0.5
        self.loss_bound = self.game.bound + options.distance_weight

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        read, players = self.read(records, draws), self.players(networks)
        x_t = self.steps.noised(read.x_0, read.t, rows(draws["noise"]))
        guess = players.noiseless(x_t, read.t, rows(draws["z"]), read.row)
        made = self.steps.step_back(guess, x_t, read.t, rows(draws["back"]))
        losses = self.game.generator(players.verdict(made, x_t, read.t, read.row)).mean(dim=1)
        if self.options.distance_weight:
            away = (guess - read.x_0).abs().flatten(1).mean(dim=1)
            losses = losses + self.options.distance_weight * away
        return patient_mean(losses, read.weights)

    def missed(self, networks: Mapping[str, Apply], records: Records, draws: Draws) -> Tensor:
        """Mean |G - x_0|^2 of each patient, (B,)."""
        read = self.read(records, draws)
        x_t = self.steps.noised(read.x_0, read.t, rows(draws["noise"]))
        guess = self.players(networks).noiseless(x_t, read.t, rows(draws["z"]), read.row)
        return patient_mean((guess - read.x_0).square().flatten(1).mean(dim=1), read.weights)
