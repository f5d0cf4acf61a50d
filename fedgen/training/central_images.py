"""The warm start: a few noised mean images of each class, and a plain training on them (DP-FETA, Gong et al. 2025).

A patient's vector has for each class the mean of the patient's images of that class, times their share among the
patient's images, and beside it the share itself, by which the sum is divided afterwards. Its L2 norm is clipped to 1,
in units of a fixed norm of an image. Training on what comes out is post-processing, so that it may take as many steps
as it likes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedgen.data.site_data import Part, SiteData
from fedgen.families.contract import Apply, Draws, Objective, Statistic
from fedgen.study.training import CentralImages
from fedgen.task.records import Records
from fedgen.task.task import Task
from fedgen.training.local import LocalPlan, LocalTrainer
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom

#: A patient's share of a class, in the units of the clipped vector.
COUNT = 0.2
#: Least share of a class that sums are divided by: below, noise would be blown up into white images.
LEAST_SHARE = 0.02


class MeanImages(Statistic):
    """Mean images of each class.

    Args:
        asked: the study's section.
        task: what images there are, of which classes.
        objectives: of the family, which is trained on them.
        plan: of a training without privacy.
        learning_rate: overrides each objective's own where given.
        seed: the same seed gives the same training.
    """

    name = "central_images"

    def __init__(
        self,
        asked: CentralImages,
        task: Task,
        objectives: tuple[Objective, ...],
        plan: LocalPlan,
        learning_rate: float | None,
        seed: int,
    ) -> None:
        self._asked = asked
        self._task = task
        self._objectives = objectives
        self._plan = plan
        self._learning_rate = learning_rate
        self._seed = seed
        self._pixels = math.prod(task.image.shape)
        self._classes = len(task.classes)
        #: L2 norm, of an image in [0, 1], that a patient's vector is measured in.
        self.clipping_norm = asked.clipping_share * self._pixels**0.5
        self.length = self._classes * (self._pixels + 1)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Nothing."""
        return {}

    def vectors(self, networks: Mapping[str, Apply], records: Records, draws: Draws) -> Tensor:
        """(B, classes * (pixels + 1)) vectors of patients, each of L2 norm at most 1."""
        classes = torch.nn.functional.one_hot(records.fields["class"], self._classes).float()
        shares = records.weights["patient"][:, :, None] * classes
        pixels = ((records.fields["image"] + 1) / 2).flatten(2) / self.clipping_norm
        sums = torch.einsum("bmk,bmp->bkp", shares, pixels)
        vectors = torch.cat([sums, COUNT * shares.sum(dim=1)[:, :, None]], dim=2).flatten(1)
        return vectors * (1.0 / vectors.norm(dim=1).clamp_min(1e-12)).clamp(max=1.0)[:, None]

    def images(self, means: Tensor) -> tuple[Tensor, Tensor]:
        """The mean images.

        Args:
            means: (S, d), one row a sample.

        Returns:
            (n, C, *size) float32 in [-1, 1] and their (n,) class index, n = S * classes.
        """
        blocks = means.reshape(-1, self._classes, self._pixels + 1)
        shares = (blocks[:, :, -1:] / COUNT).clamp_min(LEAST_SHARE / self._classes)
        pixels = (blocks[:, :, :-1] * self.clipping_norm / shares).clamp(0.0, 1.0)
        images = pixels.reshape(-1, *self._task.image.shape) * 2 - 1
        return images.float(), torch.arange(self._classes).repeat(len(blocks))

    def advance(self, networks: Mapping[str, nn.Module], means: Tensor, noise: float) -> dict[str, nn.Module]:
        """Train `networks` in place on the images, without further privacy."""
        images, labels = self.images(means)
        n = len(labels)
        data = SiteData(
            site="central",
            classes=self._task.classes,
            images=images,
            labels=labels,
            patients=torch.arange(n),
            parts=torch.full((n,), int(Part.TRAIN)),
        )
        plan = replace(
            self._plan,
            steps=self._asked.steps,
            batch=self._asked.batch,
            sampling_rate=min(1.0, self._asked.batch / n),
            images=1,
        )
        key = hashlib.sha256(f"central/{self._seed}".encode()).digest()
        trainer = LocalTrainer(self._objectives, networks, self._learning_rate)
        trainer.run(TrainingPatients(data, 1), plan, SecretRandom(key))
        return dict(networks)
