"""A cohort's ledger in numbers for a person. Heavy: the accountants load torch, so import it where it is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from fedgen.run.atomic import unreadable
from fedgen_client.site_file import CohortSection
from fedgen_privacy.composition import epsilon_of_studies
from fedgen_privacy.ledger import Budget, Ledger


@dataclass(frozen=True)
class Balance:
    """What one cohort has spent; every epsilon is an upper bound at `delta`, infinite after work without privacy.

    Attributes:
        cohort: its name.
        delta: the cohort's own.
        spent: epsilon of all studies together.
        limit: what the site file allows, None for no limit.
        studies: study hash to epsilon of that study alone; their sum is above `spent`, which composes tighter.
        rounds: study hash to number of rounds charged.
    """

    cohort: str
    delta: float
    spent: float
    limit: float | None
    studies: dict[str, float]
    rounds: dict[str, int]

    @property
    def left(self) -> float | None:
        """Epsilon that is certainly left; studies compose, so a little more may fit."""
        return None if self.limit is None else max(0.0, self.limit - self.spent)


def balance(path: Path, name: str, cohort: CohortSection) -> Balance:
    """Verify a cohort's ledger and add up what it says.

    Raises:
        PrivacyRefusedError: a row was changed, moved, inserted or removed.
        DataError: the file cannot be read.
    """
    ledger = open_ledger(path)
    studies = ledger.by_study()
    return Balance(
        cohort=name,
        delta=cohort.delta,
        spent=ledger.spent(cohort.delta),
        limit=cohort.maximum_epsilon,
        studies={study: epsilon_of_studies([spends], cohort.delta) for study, spends in studies.items()},
        rounds={study: len({row.round for row in ledger if row.study == study}) for study in studies},
    )


def open_ledger(path: Path) -> Ledger:
    """The ledger, its chain verified; raises as `balance`."""
    try:
        return Ledger(path)
    except OSError as error:
        raise unreadable(path, error) from error


def budget_of(cohort: CohortSection) -> Budget | None:
    """What a ledger is to enforce; None for a cohort without limit."""
    return None if cohort.maximum_epsilon is None else Budget(cohort.maximum_epsilon, cohort.delta)


def shown(epsilon: float) -> str:
    """Epsilon rounded upwards, so that what is shown is never below what was spent.

    >>> shown(1.2341), shown(0.0), shown(math.inf)
    ('1.235', '0', 'unlimited')
    """
    return f"{math.ceil(epsilon * 1000) / 1000:g}" if math.isfinite(epsilon) else "unlimited"
