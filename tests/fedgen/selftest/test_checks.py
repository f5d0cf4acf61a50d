"""Every check passes on what is installed, and every planted fault fails the check that is about it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
import torch
from torch import nn

from fedgen.families.registry import specs
from fedgen.selftest import noise as noise_check
from fedgen.selftest import sampling as sampling_check
from fedgen.selftest.accountant import not_below_the_truth, order
from fedgen.selftest.canaries import canaries
from fedgen.selftest.distributed import honest_noise, integers
from fedgen.selftest.faults import BACKEND_FAULTS, FAMILY_FAULTS, SHARED_FAULTS, Fault
from fedgen.selftest.finding import Check
from fedgen.selftest.gradients import (
    BACKEND_CHECKS,
    FAMILY_CHECKS,
    clipped_norms,
    clipped_sums,
    equality,
    independence,
    soundness,
    trained_norm,
)
from fedgen.selftest.noise import noise
from fedgen.selftest.run import SHARED_CHECKS, plant
from fedgen.selftest.sampling import contribution, joint_contribution, sampling
from fedgen.selftest.subject import (
    CLASSES,
    IMAGES,
    Subject,
    perturbed,
    private_families,
    stepping_families,
)
from fedgen.selftest.tasks import GatedTask, cells
from fedgen.task.task import image_of_class
from fedgen.training.backends import BACKENDS
from fedgen_privacy.accounting import epsilon_rdp

#: The checks that are about each fault; others may fail on it too.
ABOUT_FAMILY = {
    "clipping off in the trainer": {trained_norm},
    "clipping off in the step": {clipped_norms, clipped_sums},
    "mean instead of sum": {clipped_sums},
    "images clipped, patients reported": {clipped_norms, clipped_sums},
    "BatchNorm": {independence, equality, soundness},
    "EMA codebook": {independence, equality, soundness},
    "clipping off in integers": {integers},
}
ABOUT_SHARED = {
    "clipping off in the trainer": {contribution, canaries},
    "noise x 0.3": {noise, canaries},
    "noise shared by coordinates": {noise},
    "noise under a known key": {noise},
    "shuffle instead of Poisson": {sampling},
    "wrong sampling rate": {sampling},
    "gradient of two batches": {contribution},
    "one step of each objective": {joint_contribution},
    "30 % of the integer noise": {honest_noise},
    "noise shared among all sites": {honest_noise},
    "accountant forgets steps": {not_below_the_truth},
}
#: One gradient a patient is demanded before any clip, so these fail there, whatever the clip makes of them.
ABOUT_BACKEND = {
    "channels-last misread": {equality, clipped_sums},
    "rows clipped, patients reported": {equality, clipped_sums},
}
#: Of objectives that are clipped together.
ABOUT_JOINT = {
    "each objective clipped by itself": {clipped_norms, clipped_sums},
    "each objective's integers by themselves": {integers},
}
ALONE = [fault for fault in FAMILY_FAULTS if fault.name not in ABOUT_JOINT]
FAMILIES = stepping_families()
#: Walked in every run; the others by what they add in two dimensions, and whole in the slow run.
ALWAYS = ("diffusion", "gan", "vae")
#: Each family with the first task that it does along two axes, and along three.
FIRSTS = [
    pytest.param(
        name,
        cell,
        id=f"{name}-{cell.what}-{cell.axes}D",
        marks=[pytest.mark.slow] if name == "distilled" or (cell.axes == 3 and name != "vae") else [],
    )
    for name in FAMILIES
    for cell in {cell.axes: cell for cell in reversed([*cells(specs()[name])])}.values()
]
CHECKS = (*FAMILY_CHECKS, *BACKEND_CHECKS, integers)
#: Of per-record gradients by hooks, those of each family in every run: what comes after the gradients is the same code
#: whoever made them, and is held to account with hooks by one family, with vmap by all.
BY_HOOKS = {equality, soundness, clipped_norms}
#: By backend; the checks of a family by itself do not ask for the gradients of a record.
CASES = [
    pytest.param(
        *values,
        backend,
        check,
        id="-".join((found.id, backend, check.__name__)),
        marks=[*found.marks, *([] if often else [pytest.mark.slow])],
    )
    for found in FIRSTS
    for values in [found.values]
    for backend in BACKENDS
    for check in CHECKS
    if backend == "vmap" or check not in FAMILY_CHECKS
    for often in [backend == "vmap" or values[0] == "vae" or check in BY_HOOKS]
]


def noticed(fault: Fault, subject: Subject, about: Collection[Check]) -> bool:
    """Whether each check that is about a fault fails on it."""
    return len(plant(fault, subject, (*about,))) == len(about) > 0


def test_the_families_are_those_that_can_be_trained_privately(monkeypatch) -> None:
    assert {"diffusion", "gan", "vae"} <= set(FAMILIES)
    plain = replace(specs()["vae"], name="plain", private=False, why_not="its codebook leaks")
    monkeypatch.setattr("fedgen.selftest.subject.specs", lambda: {**specs(), "plain": plain})
    assert stepping_families() == FAMILIES
    assert set(private_families()) - set(FAMILIES) == {name for name, spec in specs().items() if spec.sums}


@pytest.mark.parametrize(("family", "cell", "backend", "check"), CASES)
def test_the_installed_families_pass(subject, family, cell, backend, check) -> None:
    finding = check(subject(family, backend=backend, cell=cell))
    assert finding.passed, finding
    assert finding.family == family


@pytest.mark.parametrize("check", SHARED_CHECKS, ids=lambda check: check.__name__)
def test_the_installed_mechanism_passes(subject, check) -> None:
    finding = check(subject("vae"))
    assert finding.passed, finding


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.name)
@pytest.mark.parametrize("family", ["gan", "vae"])
def test_faults_of_a_family_are_caught(subject, family, fault) -> None:
    assert noticed(fault, subject(family), ABOUT_FAMILY[fault.name])


@pytest.fixture
def pair(duo_family):
    """`pair("hooks")`: a family with two objectives that read patients."""
    family = duo_family(image_of_class(IMAGES[2], CLASSES), None)
    return lambda backend="vmap": Subject("duo", family.networks, family.contributions(), backend=backend)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_objectives_that_step_together_pass(pair, backend, check) -> None:
    finding = check(pair(backend))
    assert finding.passed, finding


@pytest.mark.parametrize("fault", FAMILY_FAULTS, ids=lambda fault: fault.name)
def test_faults_are_caught_where_objectives_step_together(pair, fault) -> None:
    assert fault.possible(pair())
    assert noticed(fault, pair(), {**ABOUT_FAMILY, **ABOUT_JOINT}[fault.name])


@pytest.mark.parametrize("fault", (*ALONE, *BACKEND_FAULTS), ids=lambda fault: fault.name)
def test_faults_are_caught_in_volumes_too(subject, fault) -> None:
    volumes = subject("vae", cell=GatedTask("class", 3))
    assert noticed(fault, volumes, {**ABOUT_FAMILY, **ABOUT_BACKEND}[fault.name])


@pytest.mark.parametrize("fault", BACKEND_FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.slow]) for name in FAMILIES]
)
def test_faults_of_a_backend_are_caught(subject, family, fault) -> None:
    installed = subject(family)
    assert fault.possible(installed) or family not in ALWAYS
    if fault.possible(installed):
        assert noticed(fault, installed, ABOUT_BACKEND[fault.name])


@pytest.mark.parametrize("name", ["BatchNorm", "EMA codebook"])
def test_hooks_refuse_what_mixes_or_remembers_patients(subject, name) -> None:
    """torch refuses these under vmap; hooks differentiate them without a word unless they look for themselves."""
    (fault,) = (fault for fault in FAMILY_FAULTS if fault.name == name)
    assert noticed(fault, subject("vae", backend="hooks"), ABOUT_FAMILY[name])


def test_memory_in_another_order_is_no_fault_by_itself(subject) -> None:
    installed = subject("vae", backend="hooks")
    planted = BACKEND_FAULTS[0].plant(installed)
    assert equality(replace(planted, gradients=installed.gradients)).passed


@pytest.mark.parametrize("fault", SHARED_FAULTS, ids=lambda fault: fault.name)
def test_faults_of_the_mechanism_are_caught(subject, fault) -> None:
    assert noticed(fault, subject("vae"), ABOUT_SHARED[fault.name])


def test_an_error_that_is_not_a_refusal_does_not_count_as_caught(subject) -> None:

    def broken(objective, networks, backend):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        equality(replace(subject("vae"), gradients=broken))


def test_batch_norm_that_stores_nothing_is_caught_by_its_mixing_of_patients(subject) -> None:
    """Without running statistics no buffer is written: what is left is the other patients' influence."""

    installed = subject("gan")

    class Mixed(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1, track_running_stats=False)
            self.network = network

        def forward(self, x, *rest):
            return self.network(self.norm(x), *rest)

    def networks():
        built = installed.networks()
        return {**built, "discriminator": Mixed(built["discriminator"])}

    finding = independence(replace(installed, networks=networks))
    assert not finding.passed
    assert finding.measured > 1e-3


def test_perturbed_networks_are_the_same_every_time(subject) -> None:
    a, b = (perturbed(subject("gan"), torch.float64) for _ in range(2))
    for name, parameter in a["discriminator"].named_parameters():
        assert parameter.equal(b["discriminator"].get_parameter(name))


def test_statistical_checks_fail_a_right_installation_once_in_a_million_at_most() -> None:
    assert noise_check.FALSE_ALARM + sampling_check.FALSE_ALARM <= 1e-6


def test_a_prv_epsilon_above_the_rdp_epsilon_is_caught(subject) -> None:
    loose = replace(subject("vae"), epsilon=lambda spends, delta: 1.2 * epsilon_rdp(spends, delta))
    assert plant(Fault("loose", lambda _: loose), loose, (order,)) == ("PRV <= RDP",)
