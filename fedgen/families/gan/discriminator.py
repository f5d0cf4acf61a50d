"""What the discriminator of a GAN is trained on: the one objective that sees data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.gan.augmentation import within
from fedgen.families.gan.auxiliary import guess_loss
from fedgen.families.gan.growing import as_grown
from fedgen.families.gan.networks import numbers_of
from fedgen.families.gan.options import GANOptions
from fedgen.families.gan.pace import Pace, betas_of
from fedgen.families.parts.adversarial import ADVERSARIAL, between, gradient_penalty
from fedgen.families.parts.augment import augmented, numbers
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Random numbers of the augmentation of real images and of fakes, and of the points of the gradient penalty.
REAL, FAKE, LINE = "augment_real", "augment_fake", "line"


class DiscriminatorObjective(Objective):
    """What is real and what is fake, such as -log D(x, y) - log(1 - D(G(z, y), y)): each image beside K fakes.

    The fakes of an image have its own condition. One loss, because real and fake, the guesses of what they were given
    and the gradient penalty must share the one clip of their patient.
    """

    name = "discriminator"
    updates = ("discriminator",)
    touches_data = True

    def __init__(self, task: Task, options: GANOptions) -> None:
        self.task = task
        self.options = options
        self.pace = Pace(task, options)
        self.game = ADVERSARIAL[options.loss]
        #: an undecided discriminator has 2 ln 2 = 1.4 in the game of cross-entropy
        self.loss_bound = self.game.bound + (
            4 * options.auxiliary_weight if options.conditioning == "acgan" else 0
        )
        self.paced = options.progressive is not None
        self.second_order = options.penalty > 0
        self.optimizer = Adam(options.learning_rate, betas_of(options))

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`z`: (B, M, K, `numbers_of`) standard normal; uniform numbers of the augmentations and the penalty."""
        options = self.options
        z = torch.randn(B, M, K, numbers_of(self.task.stack, options), generator=rng, device=rng.device)
        uniform: dict[str, int] = {}
        if options.augments:
            uniform = dict.fromkeys((REAL, FAKE), numbers(self.task.stack.dimensions))
        if options.penalty:
            uniform[LINE] = 1
        drawn = {
            name: torch.rand(B, M, K, n, generator=rng, device=rng.device) for name, n in uniform.items()
        }
        return {"z": z, **drawn}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the discriminator's objective needs records")
        options, weights = self.options, records.weights["patient"]
        images, given = stacked(self.task, records.fields), condition_of(self.task, records.fields, weights)
        B, M = weights.shape
        K = draws["z"].shape[2]
        # An image is judged once, unless each of its fakes meets it in another place.
        copies = K if options.augments or options.penalty else 1
        x, y = fold(images, given, copies)
        y_fake = fold(images, given, K)[1]
        stage = self.pace.stage(draws, weights)
        of_fakes, of_real = (self.pace.of_rows(stage, M * n) for n in (K, copies))
        fakes = networks["generator"](rows(draws["z"]), y_fake, of_fakes).detach()
        if of_real is not None:
            x = as_grown(x, of_real, self.pace.doublings)
        if options.augments:
            p = within(networks["augmentation"]()) if options.augmentation_target else options.augmentation
            x, fakes = augmented(x, rows(draws[REAL]), p), augmented(fakes, rows(draws[FAKE]), p)
        # One call for real and fake, no layer looks across rows; the rows of a patient stay neighbours.
        pair = [_beside(a, b, B) for a, b in ((x, fakes), (y, y_fake))]
        both = None if stage is None else self.pace.of_rows(stage, M * (copies + K))
        logits, guess = networks["discriminator"](*pair, both)
        losses = self.game.real(logits), self.game.fake(logits)
        if guess.shape[1]:
            wrong = options.auxiliary_weight * guess_loss(self.task, guess, pair[1])
            losses = losses[0] + wrong, losses[1] + wrong
        of_real_images, of_all_fakes = (
            part.flatten()
            for part in (
                losses[0].reshape(B, -1)[:, : M * copies],
                losses[1].reshape(B, -1)[:, M * copies :],
            )
        )
        total = patient_mean(of_real_images, weights) + patient_mean(of_all_fakes, weights)
        if options.penalty:
            line = between(x, fakes, rows(draws[LINE])[:, 0])
            slopes = gradient_penalty(
                lambda images: networks["discriminator"](images, y_fake, of_fakes)[0], line
            )
            total = total + options.penalty * patient_mean(slopes, weights)
        return total


def _beside(real: Tensor, fake: Tensor, B: int) -> Tensor:
    """Rows of real images and of fakes as one, those of a patient neighbours."""
    return torch.cat([real.unflatten(0, (B, -1)), fake.unflatten(0, (B, -1))], dim=1).flatten(0, 1)
