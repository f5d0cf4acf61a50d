"""All checks of all families, and all faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fedgen.errors import GateError, StudyError
from fedgen.families.registry import specs
from fedgen.selftest.accountant import not_below_the_truth, order
from fedgen.selftest.canaries import canaries
from fedgen.selftest.distributed import honest_noise, integers
from fedgen.selftest.faults import BACKEND_FAULTS, FAMILY_FAULTS, SHARED_FAULTS, Fault
from fedgen.selftest.finding import SHARED, Check, CheckResult
from fedgen.selftest.gate import gate
from fedgen.selftest.gradients import BACKEND_CHECKS as GRADIENT_CHECKS
from fedgen.selftest.gradients import FAMILY_CHECKS
from fedgen.selftest.noise import noise
from fedgen.selftest.sampling import contribution, joint_contribution, sampling
from fedgen.selftest.subject import Subject, installed, private_families, stepping_families
from fedgen.selftest.sum_canaries import canary
from fedgen.selftest.sums import COVARIATES, SUM_CHECKS, SumCheck, installed_sums, sum_faults
from fedgen.training.backends import BACKENDS

#: Checks of each family with each backend: of gradients, and of the integers made from them.
BACKEND_CHECKS: tuple[Check, ...] = (*GRADIENT_CHECKS, integers)
#: Checks of each statistic, and the attack, of which a planted fault has no need.
STATISTIC_CHECKS: tuple[SumCheck, ...] = (*SUM_CHECKS, canary)
#: Checks of what every family shares: the trainer on a probe, and the accountant.
SHARED_CHECKS: tuple[Check, ...] = (
    contribution,
    joint_contribution,
    sampling,
    noise,
    honest_noise,
    order,
    not_below_the_truth,
    canaries,
)


@dataclass(frozen=True)
class Caught:
    """What became of a planted fault: the checks that failed on it, none if it went unnoticed."""

    fault: str
    family: str
    by: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Findings on what is installed, and what became of the faults where they were planted."""

    findings: tuple[CheckResult, ...]
    faults: tuple[Caught, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """Findings that did not pass."""
        return tuple(finding for finding in self.findings if not finding.passed)

    @property
    def missed(self) -> tuple[Caught, ...]:
        """Faults that no check caught."""
        return tuple(caught for caught in self.faults if not caught.by)

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        if self.failed:
            names = ", ".join(f"{finding.check} ({finding.where})" for finding in self.failed)
            return f"The self-test failed in {names}: do not train on patients with this installation."
        if self.missed:
            names = ", ".join(f"{caught.fault} ({caught.family})" for caught in self.missed)
            return f"The self-test did not notice the planted fault {names}: its passing proves nothing about that."
        kinds = len({caught.fault for caught in self.faults})
        planted = f", and each of {kinds} planted faults was caught wherever it was planted" if kinds else ""
        return f"All {len(self.findings)} checks passed{planted}."

    def require(self) -> None:
        """Raise unless everything passed and every fault was caught.

        Raises:
            GateError: with the failed checks by name.
        """
        if self.failed or self.missed:
            raise GateError(self.sentence)


def plant(fault: Fault, subject: Subject, checks: Sequence[Check]) -> tuple[str, ...]:
    """Plant a fault and name the checks that fail on it."""
    planted = fault.plant(subject)
    findings = [check(planted) for check in checks]
    return tuple(finding.check for finding in findings if not finding.passed)


def selftest(
    families: Sequence[str] | None = None,
    *,
    faults: bool = False,
    wide: bool = False,
    device: str = "cpu",
    on_progress: Callable[[str], None] = lambda what: None,
) -> Result:
    """Check what is installed.

    Args:
        families: names of families; every private one where None.
        faults: also plant each fault.
        wide: also check each task, dimension and choice between options of a family that takes steps.
        device: torch device of gradients and trainer.
        on_progress: told what is being checked.

    Raises:
        StudyError: a family that cannot be trained privately, or none, was asked for.
    """
    known = private_families()
    names = known if families is None else tuple(families)
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        raise StudyError(
            f"The self-test knows no private family {', '.join(unknown) or '(none was named)'}: "
            f"choose from {', '.join(known)}."
        )
    subjects = [installed(name, device) for name in names if not specs()[name].sums]
    sums = [
        subject
        for name in names
        if specs()[name].sums
        for given in ((), (COVARIATES,))
        for subject in installed_sums(name, device, given=given)
    ]
    # What all families share is checked on the trainer, whose networks and losses are the check's own.
    shared = subjects[0] if subjects else installed(stepping_families()[0], device)
    findings: list[CheckResult] = []
    for asked in sums:
        on_progress(f"{asked.family}, {asked.statistic.name}")
        findings += [summed(asked) for summed in STATISTIC_CHECKS]
    for subject in subjects:
        on_progress(subject.family)
        findings += [check(subject) for check in FAMILY_CHECKS]
        for backend in BACKENDS:
            on_progress(f"{subject.family}, gradients by {backend}")
            chosen = replace(subject, backend=backend)
            findings += [replace(check(chosen), backend=backend) for check in BACKEND_CHECKS]
    for subject in subjects if wide else ():
        on_progress(f"{subject.family}, every task and choice")
        findings += gate(subject.family, device)
    on_progress("sampling, noise, accountant and canaries")
    findings += [check(shared) for check in SHARED_CHECKS]
    caught: list[Caught] = []
    for subject in subjects if faults else ():
        for fault in (*FAMILY_FAULTS, *BACKEND_FAULTS):
            if not fault.possible(subject):
                continue
            on_progress(f"planted fault: {fault.name} in {subject.family}")
            # Gradients of rows instead of patients cannot even be put beside the patients' losses.
            by_backend = BACKEND_CHECKS if fault in FAMILY_FAULTS else GRADIENT_CHECKS
            checks = (*FAMILY_CHECKS, *by_backend)
            caught.append(Caught(fault.name, subject.family, plant(fault, subject, checks)))
    for asked in sums if faults else ():
        for what, planted in sum_faults(asked).items():
            on_progress(f"planted fault: {what} in {asked.family}")
            by = tuple(
                found.check for found in (summed(planted) for summed in SUM_CHECKS) if not found.passed
            )
            caught.append(Caught(what, asked.family, by))
    for fault in SHARED_FAULTS if faults else ():
        on_progress(f"planted fault: {fault.name}")
        caught.append(Caught(fault.name, SHARED, plant(fault, shared, SHARED_CHECKS)))
    return Result(tuple(findings), tuple(caught))
