"""Patients for the checks of a family: random images, with 3, 1, 2 and 3 of them."""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.families.contract import Draws
from fedgen.families.parts.noise_records import noise_records
from fedgen.selftest.subject import Subject
from fedgen.task.records import Records
from fedgen.task.task import Task
from fedgen.training.joint import JointBatch
from fedgen.training.soundness import ON_THE_WAY
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.random import SecretRandom

#: Images of each patient: ragged, since a clip per image instead of per patient shows only where there are several.
COUNTS = (3, 1, 2, 3)
K = 2


def records(subject: Subject) -> Records:
    """B = 4 patients with up to M = 3 images, float64 on the subject's device."""
    made = noise_records(subject.task, COUNTS, torch.Generator().manual_seed(1))
    if not subject.task.paired:
        made = _one_sided(subject.task, made)
    return tree_map(lambda tensor: as_double(tensor).to(subject.device), made)


def _one_sided(task: Task, made: Records) -> Records:
    """The same with a patient who has no image of the first group, since a hospital may hold one kind alone."""
    gone = next(field.group for field in task.sources)
    fields, weights = dict(made.fields), dict(made.weights)
    for name in (gone, *(field.name for field in (*task.makes, *task.given) if field.group == gone)):
        for tensors in (fields, weights):
            if name in tensors:
                tensors[name] = tensors[name].clone()
                tensors[name][1] = 0
    return Records(fields, weights)


def as_double(tensor: Tensor) -> Tensor:
    """Floating numbers as float64."""
    return tensor.double() if tensor.is_floating_point() else tensor


def draws(subject: Subject) -> dict[str, Draws]:
    """Each objective's random numbers for `records`, floating ones as float64."""
    drawn = subject.joint.draw(len(COUNTS), max(COUNTS), K, torch.Generator().manual_seed(2))
    told = subject.joint.on_the_way(drawn, ON_THE_WAY)
    return tree_map(lambda tensor: as_double(tensor).to(subject.device), told)


def batch(subject: Subject) -> JointBatch:
    """`records` with `draws`."""
    return JointBatch(records(subject), draws(subject))


def one(patients: JointBatch, b: int) -> JointBatch:
    """Patient `b` alone, with the first image again where one is absent: what has no weight must not matter."""
    alone = records_of(patients, b, b + 1)

    def filled(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[:, COUNTS[b] :] = tensor[:, :1]
        return tensor

    return alone._replace(records=alone.records._replace(fields=tree_map(filled, alone.records.fields)))


class Pretended(TrainingPatients):
    """Patients of noise where the trainer looks for a site's.

    Args:
        records: all of them.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    @property
    def n_patients(self) -> int:
        """N."""
        return len(next(iter(self._records.weights.values())))

    @property
    def n_records(self) -> int:
        """N: there are no canaries."""
        return self.n_patients

    def records(self, patients: Tensor, random: SecretRandom) -> Records:
        """Those of these numbers, with all their images."""
        return tree_map(lambda tensor: tensor[patients], self._records)
