"""Models of a site's own, trained without noise on halves of its patients: models that have not seen a patient."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.open_model import OpenModel
from fedgen.families.contract import objectives_of, statistics_of
from fedgen.families.parts.adapters import merge
from fedgen.mechanisms.schedule import Query
from fedgen.mechanisms.statistics import advanced, mean_of_site
from fedgen.training.local import LocalPlan, LocalTrainer
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom


@dataclass(frozen=True)
class Reference:
    """One of two that share a site's patients.

    Attributes:
        model: trained on one half.
        unseen: numbers, at the site, of the training and held-out patients it has not seen.
    """

    model: OpenModel
    unseen: frozenset[int]


def pair_of(target: OpenModel, data: SiteData, number: int, seed: int) -> tuple[Reference, Reference]:
    """Two models, each trained on a random half of a site's training and a random half of its held-out patients.

    Each half has as many of either, so that a patient whom a model has not seen is as well served by it whether she was
    in the training of the target or not.

    Args:
        target: whose study it is.
        data: all parts of the site.
        number: of the pair.
        seed: of the halves and the training.
    """
    rng = np.random.default_rng((seed, number))
    halves: tuple[set[int], set[int]] = (set(), set())
    for part in (Part.TRAIN, Part.AUDIT):
        patients = rng.permutation(data.patients[data.parts == int(part)].unique().numpy())
        for index, patient in enumerate(patients.tolist()):
            halves[index % 2].add(patient)
    models = [
        _trained(target, _only(data, half), f"{seed}/{number}/{index}") for index, half in enumerate(halves)
    ]
    return (
        Reference(models[0], frozenset(halves[1])),
        Reference(models[1], frozenset(halves[0])),
    )


def _only(data: SiteData, patients: set[int]) -> SiteData:
    """These patients alone, all of them to be trained on."""
    kept = data.only(torch.isin(data.patients, torch.tensor(sorted(patients))))
    return replace(kept, parts=torch.full_like(kept.parts, int(Part.TRAIN)))


def _trained(target: OpenModel, data: SiteData, key: str) -> OpenModel:
    recipe, device = target.recipe, target.device
    study = recipe.study
    cohort = TrainingPatients(data, study.data.images_per_patient, recipe.task)
    batch = min(study.training.batch_patients, cohort.n_patients)
    plan = LocalPlan(
        steps=study.training.rounds * study.training.local_steps,
        batch=batch,
        sampling_rate=1.0 if not study.steps else batch / cohort.n_patients,
        images=study.data.images_per_patient,
        multiplicity=study.privacy.multiplicity,
        chunk=study.training.microbatch,
        device=device,
        mechanism=None,
        precision=study.training.precision,
        span=(0.0, 1.0),
    )
    random = SecretRandom(hashlib.sha256(f"reference/{key}".encode()).digest())
    networks: Mapping[str, nn.Module] = {
        name: network.to(device) for name, network in recipe.networks(recipe.initial).items()
    }
    for statistic in statistics_of(recipe.family):
        query = Query(statistic)
        mean = mean_of_site(query, networks, cohort, replace(plan, sampling_rate=1.0), None, random)
        networks = advanced(query, networks, mean, 0.0)
    objectives = objectives_of(recipe.family)
    if objectives:
        LocalTrainer(objectives, networks, study.training.learning_rate).run(cohort, plan, random)
    merge(networks)
    return OpenModel(recipe, {name: network.eval() for name, network in networks.items()}, device)
