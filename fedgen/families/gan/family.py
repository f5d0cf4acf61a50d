"""Conditional GAN (Goodfellow et al. 2014; Mirza and Osindero 2014) whose discriminator alone sees data.

Under DP only the discriminator needs protection: the generator learns from the discriminator, which is
post-processing of what was already protected (Bie et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Family, Objective
from fedgen.families.gan.augmentation import Probability
from fedgen.families.gan.discriminator import DiscriminatorObjective
from fedgen.families.gan.generator import GeneratorObjective
from fedgen.families.gan.networks import ConditionalDiscriminator, ConditionalGenerator, numbers_of
from fedgen.families.gan.options import GANOptions
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean
from fedgen.families.parts.sampling import CHUNK, decode_in_chunks, device_of
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task


class GANFamily(Family):
    """Two networks, two objectives."""

    def __init__(self, task: Task, options: GANOptions) -> None:
        self.task = task
        self.options = options

    def networks(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`, and `augmentation` where its probability adapts."""
        stack, condition = self.task.stack, self.task.condition_width
        networks: dict[str, nn.Module] = {
            "generator": ConditionalGenerator(stack, condition, self.options).eval(),
            "discriminator": ConditionalDiscriminator(stack, condition, self.options).eval(),
        }
        if self.options.augmentation_target is not None:
            networks["augmentation"] = Probability(self.options.augmentation).eval()
        return networks

    def contributions(self) -> tuple[Objective, ...]:
        """The discriminator's, then the generator's."""
        return (DiscriminatorObjective(self.task, self.options), GeneratorObjective(self.task, self.options))

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images of z drawn from the prior, (n, C, *size) float32 in [-1, 1]."""
        generator = networks["generator"]
        z = torch.randn(n, numbers_of(self.task.stack, self.options), generator=rng, device=rng.device)
        return decode_in_chunks(generator, z, condition_of(self.task, given, z[:, 0]), device_of(generator))

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """The discriminator's logit, (B,) (LOGAN, Hayes et al. 2019), which rises as its loss on x falls."""
        weights = records.weights["patient"]
        given = condition_of(self.task, records.fields, weights)
        images, conditions = fold(stacked(self.task, records.fields), given, 1)
        parts = zip(images.split(CHUNK), conditions.split(CHUNK), strict=True)
        logits = torch.cat([networks["discriminator"](x, y)[0] for x, y in parts])
        return patient_mean(logits, weights).float()
