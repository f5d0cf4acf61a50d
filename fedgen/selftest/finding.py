"""What a check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fedgen.selftest.subject import Subject

#: Stands for the family in a check of what every family shares.
SHARED = "all"


@dataclass(frozen=True)
class CheckResult:
    """One check of one subject.

    Attributes:
        check: the check's name.
        family: the generative family, or `all` for a check of what every family shares.
        passed: whether the subject is right in this respect.
        measured: the number the check looked at.
        limit: what `measured` was compared with.
        rule: how: `<=` or `>=`.
        sentence: what was measured, in one sentence.
        backend: how the patients' gradients were computed; None where it does not matter.
    """

    check: str
    family: str
    passed: bool
    measured: float
    limit: float
    rule: str
    sentence: str
    backend: str | None = None

    @property
    def where(self) -> str:
        """The family, and the backend if it matters."""
        return self.family if self.backend is None else f"{self.family}, {self.backend}"


#: A check looks at a subject and touches nothing else.
Check = Callable[[Subject], CheckResult]


def at_most(check: str, family: str, measured: float, limit: float, sentence: str) -> CheckResult:
    """Passed where `measured` <= `limit`; never where `measured` is NaN."""
    return CheckResult(check, family, measured <= limit, measured, limit, "<=", sentence)


def at_least(check: str, family: str, measured: float, limit: float, sentence: str) -> CheckResult:
    """Passed where `measured` >= `limit`; never where `measured` is NaN."""
    return CheckResult(check, family, measured >= limit, measured, limit, ">=", sentence)
