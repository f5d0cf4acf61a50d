"""Translation learned without pairs: what is translated there and back must be what it was (CycleGAN, Zhu et al. 2017).

A patient may have images of one contrast, of the other, or of both at other times; each contrast has weights of its
own, and what a patient does not have contributes nothing. The published pool of earlier fakes is left out: it would
hold images made of other patients, and a loss must be of one patient alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.adversarial import ADVERSARIAL
from fedgen.families.parts.edges import shape_distance
from fedgen.families.parts.folding import copies, patient_mean
from fedgen.families.parts.task_loss import Kept
from fedgen.families.translate_gan.options import TranslateGANOptions
from fedgen.families.translate_gan.pairs import BETAS, CRITIC, TRANSLATOR, distance
from fedgen.task.records import Records
from fedgen.task.task import Field, Task

#: Networks of the way back, and who judges what it makes.
BACK, CRITIC_BACK = "back", "critic_back"
#: Of the game, where the distance of what comes back has the weight 1: a tenth (Zhu et al. 2017).
UNPAIRED_WEIGHT = 0.1


class OfTwoGroups(Objective):
    """What the objectives read of a patient: images of the source, and of the target."""

    touches_data = True

    def __init__(self, task: Task, options: TranslateGANOptions) -> None:
        self.task, self.options = task, options
        self.game = ADVERSARIAL[options.loss]
        self.weight = UNPAIRED_WEIGHT if options.adversarial_weight is None else options.adversarial_weight
        self.optimizer = Adam(options.learning_rate, BETAS)

    @property
    def ends(self) -> tuple[Field, Field]:
        """Source and target."""
        return self.task.sources[0], self.task.makes[0]

    def read(self, records: Records | None, K: int = 1) -> list[tuple[Tensor, Tensor]]:
        """Of source and of target: images (B*M*K, C, *size) and weights (B, M)."""
        if records is None:
            raise ValueError(f"the objective {self.name} needs records")
        return [(copies(records.fields[field.name], K), records.weights[field.group]) for field in self.ends]

    def verdict(self, logits: Tensor, *, real: bool) -> Tensor:
        """The discriminator's loss of each row."""
        return (self.game.real if real else self.game.fake)(logits).flatten(1).mean(dim=1)

    def wish(self, logits: Tensor) -> Tensor:
        """Its opponent's loss of each row, with its weight."""
        return self.weight * self.game.generator(logits).flatten(1).mean(dim=1)


class CycleObjective(OfTwoGroups):
    """Both ways: to be taken for real, to come back, to leave alone what already is there, to keep edges and
    what a segmenter marks."""

    name = "cycle"
    updates = (TRANSLATOR, BACK)
    #: images lie in [-1, 1], and the distance of two that have nothing in common is about 0.5
    loss_bound = 4.0

    def __init__(self, task: Task, options: TranslateGANOptions, kept: Kept) -> None:
        super().__init__(task, options)
        self.kept = kept
        self.loss_bound += 2 * kept.bound

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Nothing, but the segmenter at hand: both ways are functions."""
        self.kept.read(rng.device)
        return {}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        source, target = self.read(records)
        there = self._way(networks, source, (TRANSLATOR, BACK), CRITIC)
        back = self._way(networks, target, (BACK, TRANSLATOR), CRITIC_BACK)
        return there + back

    def _way(
        self,
        networks: Mapping[str, Apply],
        read: tuple[Tensor, Tensor],
        ways: tuple[str, str],
        critic: str,
    ) -> Tensor:
        (x, weights), options = read, self.options
        out, home = ways
        made = translated(networks[out], x)
        losses = distance(translated(networks[home], made) - x) + self.kept.loss(made, x)
        if self.weight:
            losses = losses + self.wish(networks[critic](made, nothing(made))[-1])
        if options.shape_weight:
            losses = losses + options.shape_weight * shape_distance(made, x)
        if options.identity_weight and made.shape == x.shape:
            losses = losses + options.identity_weight * distance(translated(networks[home], x) - x)
        return patient_mean(losses, weights)


class CriticsObjective(OfTwoGroups):
    """Which patch is of a patient, and which was translated: one discriminator for each contrast."""

    name = "critics"
    updates = (CRITIC, CRITIC_BACK)

    def __init__(self, task: Task, options: TranslateGANOptions) -> None:
        super().__init__(task, options)
        self.loss_bound = 2 * self.game.bound

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Nothing."""
        return {}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        ends = self.read(records)
        losses = []
        # Of each contrast its own images, and what images of the other became in it.
        for critic, end, other in ((CRITIC, 1, 0), (CRITIC_BACK, 0, 1)):
            real, of_real = ends[end]
            fake, of_fake = self.fakes(networks, records, draws, other), ends[other][1]
            losses += [
                patient_mean(self.verdict(networks[critic](image, nothing(image))[-1], real=is_real), weights)
                for image, weights, is_real in ((real, of_real, True), (fake.detach(), of_fake, False))
            ]
        return torch.stack(losses).sum(dim=0)

    def fakes(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws, end: int) -> Tensor:
        """What the images of one end, 0 of the source and 1 of the target, become in the other, a row a draw."""
        return translated(networks[(TRANSLATOR, BACK)[end]], self.read(records)[end][0])


def translated(way: Apply, x: Tensor) -> Tensor:
    """Images (R, C, *size) by a network that is told nothing beside them."""
    found: Tensor = way(x, nothing(x))
    return found


def nothing(x: Tensor) -> Tensor:
    """What is told beside images (R, ...) where there is nothing to tell, (R, 0)."""
    return x.new_zeros(len(x), 0)
