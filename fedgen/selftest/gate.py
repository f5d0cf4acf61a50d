"""The gate of gradients: every task of a family, every choice between its options, both axes and both backends.

In each a patient's vector must equal that of a loop, and be clipped once. A choice whose networks mix or remember
patients must be refused as private studies are, which is what is then found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fedgen.errors import StudyError
from fedgen.families.registry import specs
from fedgen.selftest.choices import variants
from fedgen.selftest.finding import Check, CheckResult
from fedgen.selftest.gradients import clipped_norms, equality, soundness
from fedgen.selftest.subject import Subject, installed
from fedgen.selftest.tasks import cells
from fedgen.training.backends import BACKENDS, Backend

#: Beside that the network is sound.
CHECKS: tuple[Check, ...] = (equality, clipped_norms)


def gate(family: str, device: str = "cpu", backends: tuple[Backend, ...] = BACKENDS) -> Iterator[CheckResult]:
    """Findings on each task and each choice of a family that takes steps, each named by what it is of."""
    for backend in backends:
        for subject in tasks_of(family, device):
            yield from _findings(replace(subject, backend=backend), refusable=False)
        for subject in choices_of(family, device):
            yield from _findings(replace(subject, backend=backend), refusable=True)


def tasks_of(family: str, device: str = "cpu") -> Iterator[Subject]:
    """The family with its small options at every task that it does."""
    for cell in cells(specs()[family]):
        yield replace(installed(family, device, cell=cell), family=f"{family}, {cell.what} {cell.axes}D")


def choices_of(family: str, device: str = "cpu") -> Iterator[Subject]:
    """The family with other options than its small ones, along two axes and three, at the first task of each."""
    spec = specs()[family]
    # Of each number of axes the first, which is the last to be put there.
    firsts = {cell.axes: cell for cell in reversed([*cells(spec)])}
    for what, options in variants(spec).items():
        for cell in firsts.values():
            try:
                subject = installed(family, device, cell=cell, options=options)
            except StudyError:
                # Made for other images than these.
                continue
            yield replace(subject, family=f"{family}, {what}, {cell.what} {cell.axes}D")


def _findings(subject: Subject, *, refusable: bool) -> Iterator[CheckResult]:
    sound = replace(soundness(subject), backend=subject.backend)
    if not sound.passed and refusable:
        yield replace(sound, passed=True, sentence=f"refused under privacy: {sound.sentence}")
        return
    yield sound
    if sound.passed:
        yield from (replace(check(subject), backend=subject.backend) for check in CHECKS)
