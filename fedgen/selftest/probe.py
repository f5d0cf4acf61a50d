"""An objective whose gradient shows who was in the batch: patient i's is 1 at coordinate i and 0 elsewhere.

Two of them are two networks' objectives that read the same patients. Run through the trainer, it turns each released
gradient into a record of sampling, clipping and noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedgen.data.site_data import Part, SiteData
from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.selftest.subject import Subject
from fedgen.selftest.tasks import CLASSES
from fedgen.task.records import Records
from fedgen.training.local import Gaussian, LocalPlan
from fedgen.training.training_patients import TrainingPatients

#: The probe's gradient is this many times larger than an image: every patient is clipped.
GAIN = 10.0


class Probe(Objective):
    """GAIN * <w, mean image of the patient>."""

    touches_data = True
    loss_bound = 1.0

    def __init__(self, name: str = "probe") -> None:
        self.name = name
        self.updates = (name,)
        self.optimizer = Adam(1e-3)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Nothing: the loss has no randomness."""
        return {}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the probe's objective needs records")
        images, weights = records.fields["image"], records.weights["patient"]
        return GAIN * (networks[self.name](images.flatten(2)).squeeze(-1) * weights).sum(dim=1)


@dataclass(frozen=True)
class ProbeSetting:
    """One run of the trainer on the probe.

    Attributes:
        side: the images are side x side; patient i has coordinate i, so patients <= side^2.
        images: images of each patient, all of them alike.
        steps, batch, sampling_rate, clipping_norm, noise_multiplier: of the plan.
        present: patients of the cohort; their coordinates.
        objectives: how many probes step together.
    """

    side: int
    images: int
    steps: int
    batch: int
    sampling_rate: float
    clipping_norm: float
    noise_multiplier: float
    present: Tensor
    objectives: int = 1


def released(subject: Subject, setting: ProbeSetting) -> Tensor:
    """What the trainer released times the divisor B, (steps, objectives * side^2) float64: the noised sums."""
    probes = tuple(Probe(f"probe{number}") for number in range(setting.objectives))
    networks: dict[str, nn.Module] = {
        probe.name: nn.Linear(setting.side**2, 1, bias=False).to(subject.device) for probe in probes
    }
    plan = LocalPlan(
        steps=setting.steps,
        batch=setting.batch,
        sampling_rate=setting.sampling_rate,
        images=setting.images,
        multiplicity=1,
        chunk=256,
        device=subject.device,
        mechanism=Gaussian(setting.clipping_norm, setting.noise_multiplier),
    )
    steps = subject.train(probes, networks, _cohort(setting), plan, subject.random())
    rows = [torch.cat([tensor.flatten() for tensor in gradients.values()]) for gradients in steps]
    return torch.stack(rows).double().cpu() * setting.batch


def _cohort(setting: ProbeSetting) -> TrainingPatients:
    n = len(setting.present)
    images = torch.zeros(n, setting.side**2)
    images[torch.arange(n), setting.present] = 1.0
    owner = torch.arange(n).repeat_interleave(setting.images)
    data = SiteData(
        site="selftest",
        classes=CLASSES,
        images=images[owner].reshape(-1, 1, setting.side, setting.side),
        labels=torch.zeros(len(owner), dtype=torch.int64),
        patients=owner,
        parts=torch.full((len(owner),), int(Part.TRAIN)),
    )
    return TrainingPatients(data, setting.images)
