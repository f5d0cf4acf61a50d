"""Translation by a GAN: pix2pix and MM-GAN from pairs, CycleGAN or MUNIT without."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.contract import Family, Objective
from fedgen.families.parts.folding import patient_mean
from fedgen.families.parts.sampling import CHUNK, device_of
from fedgen.families.parts.sources import Sources, sources_of
from fedgen.families.translate_gan.options import TranslateGANOptions
from fedgen.families.translate_gan.ways import way_of
from fedgen.task.records import Records
from fedgen.task.task import Task
from fedgen_privacy.gradients.protocol import pieces


class TranslateGANFamily(Family):
    """A translator and who judges it; without pairs each of both ways."""

    def __init__(self, task: Task, options: TranslateGANOptions) -> None:
        """See `Family`.

        Raises:
            StudyError: without pairs and without a game nothing would say what is to be made.
        """
        if not task.paired and options.adversarial_weight == 0:
            raise StudyError(
                "Without pairs it is the game alone that says what a translation looks like: set "
                "model.translate_gan.adversarial_weight above 0, or leave it out."
            )
        self.task = task
        self.options = options
        self.way = way_of(task, options)

    def networks(self) -> dict[str, nn.Module]:
        """See `Way.networks`."""
        return {name: network.eval() for name, network in self.way.networks().items()}

    def contributions(self) -> tuple[Objective, ...]:
        """The discriminators', then the translators'; all read patients."""
        return self.way.objectives()

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Translations (n, C, *size) float32 in [-1, 1] of the sources that are given; by chance in a style alone."""
        first = given[self.task.sources[0].name]
        sources = sources_of(self.task, given, first.new_zeros(n))
        drawn = self.way.draw(n, rng)
        device = device_of(next(iter(networks.values())))
        parts = zip(*(t.split(CHUNK) for t in (sources.x, sources.told, drawn)), strict=True)
        made = [
            self.way.translate(networks, Sources(x.to(device), told.to(device)), own.to(device))
            for x, told, own in parts
        ]
        return torch.cat(made).float().to(first.device)

    @torch.no_grad()
    def back(
        self, networks: Mapping[str, nn.Module], made: Tensor, rng: torch.Generator
    ) -> Mapping[str, Tensor] | None:
        """Without pairs the source again of what was made; None with pairs, which go one way."""
        device = device_of(next(iter(networks.values())))
        found = self.way.back(networks, made.to(device), self.way.draw(len(made), rng).to(device))
        return None if found is None else {self.task.sources[0].name: found.float().to(made.device)}

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Minus the distance to the target, or without pairs of what comes back to what it was, (B,)."""
        scores = []
        for part in pieces(records, CHUNK):
            found = self.way.misses(networks, part)
            scores.append(-torch.stack([patient_mean(losses, weights) for losses, weights in found]).sum(0))
        return torch.cat(scores).float()
