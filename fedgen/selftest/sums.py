"""Checks of a family of statistics: each patient's vector is her own and bounded, and the sum has its noise.

The mechanism scales down a vector that is too long, so that the promise to patients does not hang on these checks; but
a statistic that is longer than it says is read wrongly afterwards, and its bound was not understood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr
from torch import Tensor, nn

from fedgen.data.site_data import Part, SiteData
from fedgen.families.contract import Draws, Statistic, statistics_of
from fedgen.families.parts.conditioning import drawn_fields
from fedgen.families.registry import family_class, specs
from fedgen.mechanisms.schedule import Query
from fedgen.mechanisms.statistics import levels_of_site, mean_of_site
from fedgen.selftest.finding import CheckResult, at_least, at_most
from fedgen.selftest.noise import FALSE_ALARM, squares
from fedgen.selftest.tasks import CLASSES, IMAGES
from fedgen.task.records import Records
from fedgen.task.task import Field, Task, image_of_class
from fedgen.training.local import LocalPlan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.distributed import NoiseShare, noise_share
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.statistics.multiplicity import worse_of

OWN, NORM, PART, INTEGERS, NOISE = (
    "vectors equal a loop",
    "norm of a patient's vector",
    "one patient's part of a sum",
    "integers of one patient's vector",
    "noise of a sum",
)
#: Relative difference of float64 vectors, and what float32 may add to a norm.
EXACT, SINGLE = 1e-9, 1e-5
#: A longest vector shorter than this was never near the bound.
NEAR = 0.5
#: What a record holds where nothing else is said.
PLAIN = image_of_class(IMAGES[2], CLASSES)
#: What a patient may be known by beside her class: two numbers, and one of three values.
COVARIATES = Field("covariates", "covariates", parts=(1, 1, 3))
#: Patients, images of each, and factors on random images: a black box must hold for what no camera takes.
PATIENTS, M, FACTORS = 12, 3, (1.0, 10.0, 1e3, 1e6)
#: Draws of the noise that are looked at, and its sigma.
SUMS, SIGMA = 24, 1.7
#: Least standard deviation in levels that integer noise can have: nothing beside a sensitivity of millions.
SILENT = 0.5


@dataclass(frozen=True)
class SumSubject:
    """A statistic under test; the defaults are what is installed.

    Attributes:
        family: the family's name.
        networks: fresh networks by name.
        statistic: of the family.
        task: what its records hold.
        device: torch device.
        mean: a site's mean with its noise.
        levels: a site's sum in integers with its share of the noise.
        random: sampling and noise, fresh at each call.
    """

    family: str
    networks: Callable[[], dict[str, nn.Module]]
    statistic: Statistic
    task: Task = PLAIN
    device: str = "cpu"
    mean: Callable[..., Tensor] = mean_of_site
    levels: Callable[..., Tensor] = levels_of_site
    random: Callable[[], SecretRandom] = SecretRandom


SumCheck = Callable[[SumSubject], CheckResult]


def installed_sums(
    family: str, device: str = "cpu", axes: int = 2, given: tuple[Field, ...] = ()
) -> tuple[SumSubject, ...]:
    """The statistics of a family, with its small options, for images of so many axes, their class and `given`.

    None where the family cannot be given that.
    """
    plain = image_of_class(IMAGES[axes], CLASSES)
    task = replace(plain, given=(*plain.given, *given))
    if specs()[family].supports(task) is not None:
        return ()
    built = family_class(family)(task, specs()[family].small)
    name = ", ".join((family, *(field.name for field in given)))
    return tuple(
        SumSubject(name, built.networks, statistic, task, device) for statistic in statistics_of(built)
    )


def own(subject: SumSubject) -> CheckResult:
    """A patient's vector does not depend on the others in the batch, in float64, and stores nothing of anybody."""
    networks = fresh_networks(subject, torch.float64)
    before = _states(networks)
    records, draws = _records(subject, torch.float64, 1.0)
    together = subject.statistic.vectors(networks, records, draws)
    stored = sum(not torch.equal(before[name], state) for name, state in _states(networks).items())
    if stored:
        sentence = (
            f"{stored} tensors of the networks were rewritten from the patients' images, outside every noise"
        )
        return CheckResult(OWN, subject.family, False, float(stored), 0.0, "<=", sentence)
    alone = torch.cat(
        [subject.statistic.vectors(networks, *_one(records, draws, b)) for b in range(PATIENTS)]
    )
    difference = float((together - alone).norm(dim=1).max())
    sentence = "largest change of a patient's vector by the other patients in the batch, and nothing stored"
    return at_most(OWN, subject.family, difference, EXACT, sentence)


def norm(subject: SumSubject) -> CheckResult:
    """No patient's vector is longer than 1 by the statistic's own making, whatever her images hold."""
    networks, longest = fresh_networks(subject, torch.float32), 0.0
    for factor in FACTORS:
        vectors = subject.statistic.vectors(networks, *_records(subject, torch.float32, factor))
        longest = max(longest, float(vectors.double().norm(dim=1).max()))
    if longest < NEAR:
        sentence = "the longest vector is far from the bound, so that this would prove nothing"
        return CheckResult(NORM, subject.family, False, longest, NEAR, ">=", sentence)
    return at_most(
        NORM, subject.family, longest, 1 + SINGLE, "longest vector of a patient with any images (float32)"
    )


def part(subject: SumSubject) -> CheckResult:
    """What one patient adds to a site's own sum is at most 1, however many images she has."""
    networks, plan = fresh_networks(subject, torch.float32), plan_of(subject)
    sums = []
    for some in (range(1, PATIENTS), range(PATIENTS)):
        cohort = cohort_of(subject, some)
        mean = subject.mean(Query(subject.statistic), networks, cohort, plan, None, subject.random())
        sums.append(len(some) * mean)
    sentence = "norm of one patient's part of the sum that a site makes"
    return at_most(PART, subject.family, float((sums[1] - sums[0]).norm()), 1 + SINGLE, sentence)


def integers(subject: SumSubject) -> CheckResult:
    """One patient adds integers of a norm of the sensitivity at most."""
    networks, plan = fresh_networks(subject, torch.float32), plan_of(subject)
    share = replace(_share(subject), std=SILENT)
    levels = subject.levels(
        Query(subject.statistic), networks, cohort_of(subject, range(1)), plan, share, subject.random()
    )
    measured = math.sqrt(float(levels.double().square().sum())) / share.sensitivity
    sentence = "norm of one patient's integers, in units of the sensitivity that the noise is a multiple of"
    return at_most(INTEGERS, subject.family, measured, 1.0, sentence)


def noise(subject: SumSubject) -> CheckResult:
    """The noise in each number of a mean, and in a site's integers, as the accountant is told."""
    networks, plan, cohort = (
        fresh_networks(subject, torch.float32),
        plan_of(subject),
        cohort_of(subject, range(PATIENTS)),
    )
    query, share = Query(subject.statistic), _share(subject)
    true = subject.mean(query, networks, cohort, plan, None, subject.random()).double()
    means = [subject.mean(query, networks, cohort, plan, SIGMA, subject.random()) for _ in range(SUMS)]
    z = np.stack([(mean.double() - true).numpy() * PATIENTS / SIGMA for mean in means])
    silent = replace(share, std=SILENT)
    exact = subject.levels(query, networks, cohort, plan, silent, subject.random()).double()
    sums = [subject.levels(query, networks, cohort, plan, share, subject.random()) for _ in range(SUMS)]
    levels = np.stack([(total.double() - exact).numpy() / share.std for total in sums])
    p = worse_of(
        *(squares(each) for each in (z, levels)),
        *(squares(each.sum(axis=1) / math.sqrt(each.shape[1])) for each in (z, levels)),
        *(float(pearsonr(each[0], each[1]).pvalue) for each in (z, levels)),
    )
    sentence = (
        f"p-value of {z.size + levels.size} numbers of noise under independent ones of the accounted size"
    )
    return at_least(NOISE, subject.family, p, FALSE_ALARM, sentence)


#: What every statistic must pass.
SUM_CHECKS: tuple[SumCheck, ...] = (own, norm, part, integers, noise)


class _Weak(SecretRandom):
    """30 % of the noise that is accounted."""

    def gaussian(self, shape: torch.Size | tuple[int, ...], std: float) -> Tensor:
        return super().gaussian(shape, 0.3 * std)


class _Mixed(Statistic):
    """`inner`, less what the batch has in common."""

    def __init__(self, inner: Statistic) -> None:
        self.name, self.length, self.inner = inner.name, inner.length, inner

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        return self.inner.draw(B, M, K, rng)

    def vectors(self, networks: Mapping[str, Any], records: Records, draws: Draws) -> Tensor:
        vectors = self.inner.vectors(networks, records, draws)
        return vectors - vectors.mean(dim=0) / 2

    def advance(self, networks: Mapping[str, nn.Module], means: Tensor, noise: float) -> dict[str, nn.Module]:
        return self.inner.advance(networks, means, noise)


def _twice(*arguments: Any) -> Tensor:
    """A sum in which everybody is twice."""
    return 2 * mean_of_site(*arguments)


def sum_faults(subject: SumSubject) -> dict[str, SumSubject]:
    """The subject with a mistake in each, by what is wrong: what any statistic can have, and its own."""
    own_mistakes = {
        what: replace(subject, statistic=statistic)
        for what, statistic in subject.statistic.mistakes().items()
    }
    return {
        "patients mixed in a sum": replace(subject, statistic=_Mixed(subject.statistic)),
        "patients twice in a sum": replace(subject, mean=_twice),
        "30 % of a sum's noise": replace(subject, random=_Weak),
        **own_mistakes,
    }


def fresh_networks(subject: SumSubject, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The subject's networks, on its device."""
    return {name: network.to(dtype).to(subject.device) for name, network in subject.networks().items()}


def _states(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.clone()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }


def _records(subject: SumSubject, dtype: torch.dtype, factor: float) -> tuple[Records, Draws]:
    """Patients with 1 to M images, each of any class; a patient's images are alike, which makes long vectors."""
    rng = torch.Generator().manual_seed(4)
    shape = subject.task.stack.shape
    present = torch.arange(M)[None, :] < (1 + torch.arange(PATIENTS) % M)[:, None]
    images = factor * (torch.rand(PATIENTS, 1, *shape, generator=rng, dtype=dtype) * 2 - 1)
    images = images.expand(-1, M, *[-1] * len(shape)) * present.reshape(PATIENTS, M, *[1] * len(shape))
    labels = torch.arange(M).repeat(PATIENTS, 1) % len(CLASSES) * present
    weights = present.to(dtype) / present.sum(dim=1, keepdim=True)
    # As far out of their ranges as the images are.
    others = {
        name: factor * values.to(dtype) * present[..., None]
        for name, values in drawn_fields(_others(subject.task), (PATIENTS, M), rng).items()
    }
    records = Records({"image": images, "class": labels, **others}, {"patient": weights})
    draws = subject.statistic.draw(PATIENTS, M, 1, torch.Generator().manual_seed(2))
    return tree_map(lambda tensor: tensor.to(subject.device), (records, draws))


def _one(records: Records, draws: Draws, b: int) -> tuple[Records, Draws]:
    return tree_map(lambda tensor: tensor[b : b + 1], (records, draws))


def cohort_of(subject: SumSubject, patients: range, *, alike: bool = False) -> TrainingPatients:
    """Some of the same `PATIENTS`; number 0 has M images far beyond any camera's, of several classes or all alike."""
    rng = torch.Generator().manual_seed(6)
    numbers = torch.cat([torch.arange(PATIENTS), torch.zeros(M - 1, dtype=torch.int64)])
    images = torch.rand(len(numbers), *subject.task.stack.shape, generator=rng) * 2 - 1
    images[numbers == 0] = 1e3 * images[0]
    labels = torch.arange(len(numbers)) % len(CLASSES)
    labels[numbers == 0] = 0 if alike else torch.arange(M) % len(CLASSES)
    keep = torch.isin(numbers, torch.tensor(patients))
    others = drawn_fields(_others(subject.task), (len(numbers),), rng)
    covariates = 1e3 * others["covariates"][keep] if others else None
    data = SiteData(
        site="selftest",
        classes=CLASSES,
        images=images[keep].half().clamp(-6e4, 6e4),
        labels=labels[keep],
        patients=numbers[keep],
        parts=torch.full((int(keep.sum()),), int(Part.TRAIN)),
        covariates=covariates,
    )
    return TrainingPatients(data, M, subject.task)


def _others(task: Task) -> Task:
    return replace(task, given=tuple(field for field in task.given if field.kind != "class"))


def plan_of(subject: SumSubject) -> LocalPlan:
    """Of a site that sums over all its patients."""
    return LocalPlan(
        steps=1,
        batch=PATIENTS,
        sampling_rate=1.0,
        images=M,
        multiplicity=1,
        chunk=4,
        device=subject.device,
        mechanism=None,
    )


def _share(subject: SumSubject) -> NoiseShare:
    return noise_share(
        clipping_norm=1.0,
        noise_multiplier=SIGMA,
        dimension=subject.statistic.length,
        expected_batch=float(PATIENTS),
        needed=4,
        colluders=1,
        sites=5,
    )
