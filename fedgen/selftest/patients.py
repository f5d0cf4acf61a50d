"""Patients for the checks of a family: random images, with 3, 1, 2 and 3 of them."""

from __future__ import annotations

import torch

from fedgen.families.contract import Draws
from fedgen.selftest.subject import CLASSES, Subject
from fedgen.task.records import Records
from fedgen.training.joint import JointBatch
from fedgen_privacy.gradients.tree import tree_map

#: Images of each patient: ragged, since a clip per image instead of per patient shows only where there are several.
COUNTS = (3, 1, 2, 3)
K = 2


def records(subject: Subject) -> Records:
    """B = 4 patients with up to M = 3 images, float64 on the subject's device."""
    rng = torch.Generator().manual_seed(1)
    counts = torch.tensor(COUNTS)
    B, M = len(COUNTS), max(COUNTS)
    present = torch.arange(M)[None, :] < counts[:, None]
    images = torch.rand(B, M, *subject.image.shape, generator=rng, dtype=torch.float64) * 2 - 1
    here = present.reshape(B, M, *[1] * len(subject.image.shape))
    labels = torch.randint(len(CLASSES), (B, M), generator=rng)
    made = Records(
        {"image": torch.where(here, images, 0.0), "class": labels * present},
        {"patient": present.double() / counts[:, None]},
    )
    return tree_map(lambda tensor: tensor.to(subject.device), made)


def draws(subject: Subject) -> dict[str, Draws]:
    """Each objective's random numbers for `records`, floating ones as float64."""
    drawn = subject.joint.draw(len(COUNTS), max(COUNTS), K, torch.Generator().manual_seed(2))
    return tree_map(
        lambda tensor: (tensor.double() if tensor.is_floating_point() else tensor).to(subject.device), drawn
    )


def batch(subject: Subject) -> JointBatch:
    """`records` with `draws`."""
    return JointBatch(records(subject), draws(subject))


def one(patients: JointBatch, b: int) -> JointBatch:
    """Patient `b` alone, with the absent images cut away."""
    return tree_map(lambda tensor: tensor[b : b + 1, : COUNTS[b]], patients)
