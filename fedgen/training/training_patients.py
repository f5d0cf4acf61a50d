"""A site's training patients, and the records a step reads."""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.task.records import Records
from fedgen.task.task import Task
from fedgen.training.canary_images import Canaries, beside
from fedgen.training.task_records import fields_of, task_of, weights_of
from fedgen_privacy.random import SecretRandom


class TrainingPatients:
    """Training patients of one site, ready to be sampled.

    Args:
        data: the site's images; only the training part is kept.
        images_per_patient: m, the most images of a patient that enter one record.
        task: whose fields a record has; an image of its class where None.
        canaries: of the site, of which those whose coin fell so are trained on as patients are; None for none.
    """

    def __init__(
        self,
        data: SiteData,
        images_per_patient: int,
        task: Task | None = None,
        canaries: Canaries | None = None,
    ) -> None:
        own = data.part(Part.TRAIN)
        self._patients = own.n_patients
        train = self._train = own if canaries is None else beside(own, canaries.trained)
        self._enrolled = data.enrolled
        self._task = task or task_of(data)
        order = torch.argsort(train.patients, stable=True)
        counts = torch.bincount(train.patients)
        self._members = torch.split(order, counts.tolist()) if len(order) else ()
        self._m = images_per_patient

    @property
    def n_patients(self) -> int:
        """N, the training patients when the study began: public, so that plans, weights and divisors go by it.

        Nobody who withdraws changes it.
        """
        return self._patients if self._enrolled is None else self._enrolled

    @property
    def n_records(self) -> int:
        """Records that may be sampled: the patients without those who have withdrawn and, behind them, the canaries in
        training. Secret.

        A step takes each of them with the same probability as before: for those who are left nothing changes, and it is
        as if those who are gone were never taken.
        """
        return len(self._members)

    def records(self, patients: Tensor, random: SecretRandom) -> Records:
        """One record a patient: at most m of its images, chosen at random; shapes as in `Records`.

        Args:
            patients: (B,) numbers below `n_records`, B >= 1.
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
