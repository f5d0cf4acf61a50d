"""Translation learned from pairs: the translator's distance to the target, and the discriminator's verdict on both.

Both objectives read patients. What a translator makes is a constant of the discriminator's loss, and the discriminator
one of the translator's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.adversarial import ADVERSARIAL
from fedgen.families.parts.edges import edge_distance
from fedgen.families.parts.folding import copies, patient_mean, rows
from fedgen.families.parts.sources import Sources, left_out, sources_of
from fedgen.families.parts.task_loss import Kept
from fedgen.families.translate_gan.options import TranslateGANOptions
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Radford et al. 2016: less momentum, against oscillation of the two players.
BETAS = (0.5, 0.999)
#: Names of the networks, of the objectives, and of the random numbers that say which sources are left out.
TRANSLATOR, CRITIC, KEEP = "translator", "critic", "keep"
#: Of the game in the translator's loss, where the distance has the weight 1: a hundredth (Isola et al. 2017).
PAIRED_WEIGHT = 0.01


class _OfPairs(Objective):
    """What both objectives read of a patient."""

    touches_data = True

    def __init__(self, task: Task, options: TranslateGANOptions) -> None:
        self.task, self.options = task, options
        self.game = ADVERSARIAL[options.loss]
        self.weight = PAIRED_WEIGHT if options.adversarial_weight is None else options.adversarial_weight
        self.optimizer = Adam(options.learning_rate, BETAS)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`keep`: (B, M, K, sources) uniform, where there are several; else nothing, and a draw is like any other."""
        S = len(self.task.sources)
        if S < 2 or not self.options.source_dropout:
            return {}
        return {KEEP: torch.rand(B, M, K, S, generator=rng, device=rng.device)}

    def rows(self, records: Records | None, draws: Draws) -> tuple[Sources, Tensor]:
        """Sources and targets, a row a draw."""
        if records is None:
            raise ValueError(f"the objective {self.name} needs records")
        found = sources_of(self.task, records.fields, records.weights["patient"])
        K = draws[KEEP].shape[2] if KEEP in draws else 1
        sources = Sources(copies(found.x, K), copies(found.told, K))
        if KEEP in draws:
            sources = left_out(self.task, sources, rows(draws[KEEP]), self.options.source_dropout)
        return sources, copies(stacked(self.task, records.fields), K)

    @staticmethod
    def judged(networks: Mapping[str, Apply], image: Tensor, sources: Sources) -> list[Tensor]:
        """The discriminator's features of an image beside its sources; the last are its logits."""
        found: list[Tensor] = networks[CRITIC](torch.cat([image, sources.x], dim=1), sources.told)
        return found


class TranslatorObjective(_OfPairs):
    """Distance in L1 to the target, of pixels and if asked of edges, features and what a segmenter marks, and the
    wish to be taken for it."""

    name = TRANSLATOR
    updates = (TRANSLATOR,)
    #: images lie in [-1, 1], and the distance of two that have nothing in common is about 0.5
    loss_bound = 2.0

    def __init__(self, task: Task, options: TranslateGANOptions, kept: Kept) -> None:
        super().__init__(task, options)
        self.kept = kept
        self.loss_bound += kept.bound

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """As `_OfPairs`, with the segmenter at hand."""
        self.kept.read(rng.device)
        return super().draw(B, M, K, rng)

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        sources, y = self.rows(records, draws)
        assert records is not None
        made = networks[TRANSLATOR](sources.x, sources.told)
        losses = distance(made - y) + self.kept.loss(made, y)
        if self.options.edge_weight:
            losses = losses + self.options.edge_weight * edge_distance(made, y)
        if self.weight:
            *features, logits = self.judged(networks, made, sources)
            losses = losses + self.weight * self.game.generator(logits).flatten(1).mean(dim=1)
            if self.options.feature_weight:
                *wanted, _ = self.judged(networks, y, sources)
                each = [distance(a - b) for a, b in zip(features, wanted, strict=True)]
                losses = losses + self.options.feature_weight * torch.stack(each).mean(dim=0)
        return patient_mean(losses, records.weights["patient"])


class CriticObjective(_OfPairs):
    """Which patch is of a patient, and which of a translation of the same sources."""

    name = CRITIC
    updates = (CRITIC,)

    def __init__(self, task: Task, options: TranslateGANOptions) -> None:
        super().__init__(task, options)
        self.loss_bound = self.game.bound

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        sources, y = self.rows(records, draws)
        assert records is not None
        made = networks[TRANSLATOR](sources.x, sources.told).detach()
        real, fake = (self.judged(networks, image, sources)[-1] for image in (y, made))
        losses = self.game.real(real).flatten(1).mean(dim=1) + self.game.fake(fake).flatten(1).mean(dim=1)
        return patient_mean(losses, records.weights["patient"])


def distance(difference: Tensor) -> Tensor:
    """Mean |number| of each row of (R, ...)."""
    return difference.abs().flatten(1).mean(dim=1)
