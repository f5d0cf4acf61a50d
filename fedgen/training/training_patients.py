"""A site's training patients, and the records a step reads."""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.task.records import Records
from fedgen.task.task import Task
from fedgen.training.task_records import fields_of, task_of, weights_of
from fedgen_privacy.random import SecretRandom


class TrainingPatients:
    """Training patients of one site, ready to be sampled.

    Args:
        data: the site's images; only the training part is kept.
        images_per_patient: m, the most images of a patient that enter one record.
        task: whose fields a record has; an image of its class where None.
    """

    def __init__(self, data: SiteData, images_per_patient: int, task: Task | None = None) -> None:
        train = self._train = data.part(Part.TRAIN)
        self._task = task or task_of(data)
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
        rows, there = torch.zeros(B, M, dtype=torch.int64), torch.zeros(B, M)
        for b, own in enumerate(chosen):
            rows[b, : len(own)], there[b, : len(own)] = own, 1.0
        fields = {}
        for name, found in fields_of(self._task, self._train, torch.cat(chosen)).items():
            fields[name] = found.new_zeros(B, M, *found.shape[1:])
            fields[name][there > 0] = found
        return Records(fields, weights_of(self._task, self._train, rows, there))

    def _choose(self, patient: int, random: SecretRandom) -> Tensor:
        rows = self._members[patient]
        if len(rows) <= self._m:
            return rows
        return rows[random.permutation(len(rows))[: self._m]]
