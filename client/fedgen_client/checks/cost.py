"""What a study would cost a cohort: epsilon on top of what is spent, and time. Heavy: it plans and trains a little.

The timed steps run on noise, never on a patient, so they cost no privacy.
"""

from __future__ import annotations

import dataclasses
import time

import torch
from torch import nn

from fedgen.errors import ExitCode, FedgenError
from fedgen.families.contract import objectives_of, statistics_of
from fedgen.mechanisms.schedule import Query
from fedgen.mechanisms.statistics import mean_of_site
from fedgen.recipe import Recipe
from fedgen.study.study import Study
from fedgen.training.backends import backend_for
from fedgen.training.local import Gaussian, LocalPlan, LocalTrainer
from fedgen.training.noise_site import noise_site
from fedgen.training.training_patients import TrainingPatients
from fedgen_client.books import budget_of, open_ledger, shown
from fedgen_client.checks.line import CheckLine, mend
from fedgen_client.folder import SiteFolder
from fedgen_client.plain import printable
from fedgen_client.site_file import CohortSection
from fedgen_privacy.accounting import Spend
from fedgen_privacy.random import SecretRandom

TIMED_STEPS = 2


def cost_line(
    about: str, folder: SiteFolder, name: str, cohort: CohortSection, study: Study, sha256: str, patients: int
) -> CheckLine:
    """Whether the whole study fits the cohort's budget.

    Args:
        about: what the line is about.
        folder: the site's, with the ledger.
        name: of the cohort.
        cohort: its section of the site file.
        study: what would be trained.
        sha256: the study's hash: rounds it has already charged are part of it.
        patients: training patients.
    """
    try:
        recipe = Recipe.of(study)
        recipe.require_sound()
        mechanism = recipe.mechanism
        plan = mechanism.plan(patients, name)
        ledger = open_ledger(folder.ledger(name))
        steps: list[Spend | None] = [None] if plan.spend is None else [*mechanism.turns.history(plan.spend)]
        budget = budget_of(cohort)
        after = (
            ledger.after(steps, cohort.delta, sha256)
            if budget is None
            else ledger.admit(sha256, steps, budget)
        )
    except FedgenError as error:
        return mend(about, error)
    limit = "NO LIMIT" if budget is None else f"{budget.epsilon:g}"
    return CheckLine(
        about, f"brings epsilon of cohort {name} to {shown(after)} of {limit} at delta {cohort.delta:g}."
    )


def seconds_per_step(study: Study, device: str | None = None) -> float:
    """Seconds of one local step on this machine, or of a sum, over noise images of the study's size.

    Args:
        study: what is timed.
        device: instead of the study's.
    """
    recipe, privacy = Recipe.of(study), study.privacy
    objectives, networks = objectives_of(recipe.family), recipe.blank_networks()
    plan = LocalPlan(
        steps=1,
        batch=study.training.batch_patients,
        sampling_rate=1.0,
        images=study.data.images_per_patient,
        multiplicity=privacy.multiplicity,
        chunk=study.training.microbatch,
        device=device or study.training.device,
        mechanism=Gaussian(privacy.clipping_norm, 1.0) if recipe.mechanism.private else None,
        backend=backend_for(study.training.gradients, study.model.family, device or study.training.device),
        precision=study.training.precision,
    )
    for network in networks.values():
        network.to(plan.device)
    m = study.data.images_per_patient
    owners = torch.arange(study.training.batch_patients).repeat_interleave(m)
    noise = noise_site(recipe.task, owners, torch.Generator().manual_seed(0))
    cohort, random = TrainingPatients(noise, m, recipe.task), SecretRandom()
    if not objectives:
        return _seconds_of_sums(recipe, networks, cohort, plan)
    trainer = LocalTrainer(objectives, networks, study.training.learning_rate)
    trainer.run(cohort, plan, random)
    started = time.perf_counter()
    # Several, for an objective that has its turn only in every n-th step.
    trainer.run(cohort, dataclasses.replace(plan, steps=TIMED_STEPS), random)
    return (time.perf_counter() - started) / TIMED_STEPS


def _seconds_of_sums(
    recipe: Recipe, networks: dict[str, nn.Module], cohort: TrainingPatients, plan: LocalPlan
) -> float:
    sums = statistics_of(recipe.family)
    started = time.perf_counter()
    for statistic in sums:
        mean_of_site(Query(statistic), networks, cohort, plan, None, SecretRandom())
    return (time.perf_counter() - started) / len(sums)


def time_line(about: str, study: Study, device: str | None) -> CheckLine:
    """How long a step, a round and the study take here."""
    where = device or study.training.device
    try:
        step = seconds_per_step(study, where)
    except (RuntimeError, AssertionError) as error:
        # torch's for a device that is not there, and for too little memory on one that is.
        why = printable(str(error).partition("\n")[0]).rstrip(".")
        return CheckLine(
            about,
            f"a step cannot be taken on {where} ({why}): set runtime.device, or deny the study.",
            ExitCode.DATA,
        )
    if not study.steps:
        return CheckLine(about, f"about {_duration(step)} a sum on {where}, without waiting for the others.")
    a_round = step * study.training.local_steps
    whole = a_round * study.training.rounds
    return CheckLine(
        about,
        f"about {_duration(step)} a step on {where}, {_duration(a_round)} a round and "
        f"{_duration(whole)} in all, without waiting for the others.",
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
