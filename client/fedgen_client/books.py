"""A cohort's ledger in numbers for a person. Heavy: the accountants load torch, so import it where it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fedgen.run.atomic import unreadable
from fedgen_client.folder import SiteFolder
from fedgen_client.site_file import CohortSection
from fedgen_privacy.composition import epsilon_of_studies, with_plan
from fedgen_privacy.ledger import Budget, Ledger


@dataclass(frozen=True)
class Balance:
    """What one cohort has spent; every epsilon is an upper bound at `delta`, infinite after work without privacy.

    Attributes:
        cohort: its name.
        delta: the cohort's own.
        spent: epsilon of all studies together.
        promised: epsilon once every study that was admitted is done as well; `spent` where there is none.
        limit: what the site file allows, None for no limit.
        studies: study hash to epsilon of that study alone; their sum is above `spent`, which composes tighter.
        rounds: study hash to number of rounds charged.
        kept_free: study hash to epsilon of that study alone, once it is done; of those admitted and not done.
    """

    cohort: str
    delta: float
    spent: float
    promised: float
    limit: float | None
    studies: dict[str, float]
    rounds: dict[str, int]
    kept_free: dict[str, float]

    @property
    def left(self) -> float | None:
        """Epsilon that is certainly left for another study; studies compose, so a little more may fit."""
        return None if self.limit is None else max(0.0, self.limit - self.promised)


def balance(path: Path, name: str, cohort: CohortSection) -> Balance:
    """Verify a cohort's ledger and add up what it says.

    Raises:
        PrivacyRefusedError: a row was changed, moved, inserted or removed, or the reservations are damaged.
        DataError: a file cannot be read.
    """
    ledger = open_ledger(path)
    studies = ledger.by_study()
    try:
        plans, promised = ledger.reserved(), ledger.promised(cohort.delta)
    except OSError as error:
        raise unreadable(path, error) from error
    return Balance(
        cohort=name,
        delta=cohort.delta,
        spent=ledger.spent(cohort.delta),
        promised=promised,
        limit=cohort.maximum_epsilon,
        studies={study: epsilon_of_studies([spends], cohort.delta) for study, spends in studies.items()},
        rounds={study: len({row.round for row in ledger if row.study == study}) for study in studies},
        kept_free={
            study: epsilon_of_studies([with_plan(studies.get(study, []), plan)], cohort.delta)
            for study, plan in plans.items()
        },
    )


def every_cohort(folder: SiteFolder, cohorts: Iterable[str]) -> list[str]:
    """Those of the site file, and those that it no longer has: what was spent stays spent."""
    known = list(cohorts)
    return known + sorted(path.stem for path in folder.ledgers.glob("*.jsonl") if path.stem not in known)


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
