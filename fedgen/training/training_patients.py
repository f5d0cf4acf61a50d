"""A site's training patients, and the records a step reads."""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.task.records import Records
from fedgen_privacy.random import SecretRandom


class TrainingPatients:
    """Training patients of one site, ready to be sampled.

    Args:
        data: the site's images; only the training part is kept.
        images_per_patient: m, the most images of a patient that enter one record.
    """

    def __init__(self, data: SiteData, images_per_patient: int) -> None:
        train = data.part(Part.TRAIN)
        self._images = train.images
        self._labels = train.labels
        order = torch.argsort(train.patients, stable=True)
        counts = torch.bincount(train.patients)
        self._members = torch.split(order, counts.tolist()) if len(order) else ()
        self._m = images_per_patient

    @property
    def n_patients(self) -> int:
        """N, the number of training patients."""
        return len(self._members)

    def records(self, patients: Tensor, random: SecretRandom) -> Records:
        """One record a patient: at most m of its images, chosen at random; shapes as in `Records`.

        Args:
            patients: (B,) patient numbers, B >= 1.
            random: which images of a patient are taken is part of the sampling and as secret.
        """
        chosen = [self._choose(int(patient), random) for patient in patients]
        B, M = len(chosen), self._m
        images = torch.zeros(B, M, *self._images.shape[1:])
        labels = torch.zeros(B, M, dtype=torch.int64)
        weights = torch.zeros(B, M)
        for b, rows in enumerate(chosen):
            n = len(rows)
            images[b, :n] = self._images[rows].float()
            labels[b, :n] = self._labels[rows]
            weights[b, :n] = 1.0 / n
        return Records({"image": images, "class": labels}, {"patient": weights})

    def _choose(self, patient: int, random: SecretRandom) -> Tensor:
        rows = self._members[patient]
        if len(rows) <= self._m:
            return rows
        return rows[random.permutation(len(rows))[: self._m]]
