"""A cohort's budget as a gauge: what is spent, what is kept free or would be added, and what is left.

Heavy: the accountants load torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fedgen.errors import FedgenError
from fedgen.study.study import Study
from fedgen_client.books import Balance, balance
from fedgen_client.folder import SiteFolder
from fedgen_client.site_file import CohortSection
from fedgen_client.site_page.site_state import Addition, BudgetGauge, BudgetShare


def gauge(
    folder: SiteFolder, cohort: str, section: CohortSection | None, names: Mapping[str, str]
) -> BudgetGauge:
    """A cohort's ledger, verified, as a gauge; one that is damaged is a gauge that says so.

    Args:
        folder: of the site.
        cohort: name of the cohort.
        section: of the site file, or None for a cohort that it no longer has: what was spent stays spent.
        names: study hash to name.
    """
    counted = section or CohortSection(folder=folder.path, maximum_epsilon=None)
    try:
        found = balance(folder.ledger(cohort), cohort, counted)
    except FedgenError as error:
        return BudgetGauge(
            cohort=cohort, delta=counted.delta, limit=counted.maximum_epsilon, damaged=str(error)
        )
    return _gauge(found, section is not None, names)


def _gauge(found: Balance, known: bool, names: Mapping[str, str]) -> BudgetGauge:
    return BudgetGauge(
        cohort=found.cohort,
        delta=found.delta,
        limit=found.limit,
        spent=_up(found.spent),
        promised=_up(found.promised),
        left=None if found.left is None else math.floor(found.left * 1000) / 1000,
        shares=tuple(
            BudgetShare(
                study=study,
                name=names.get(study),
                rounds=found.rounds.get(study, 0),
                epsilon=_up(found.studies.get(study, 0.0)),
                kept_free=_up(found.kept_free[study]) if study in found.kept_free else None,
            )
            for study in dict.fromkeys([*found.studies, *found.kept_free])
        ),
        known=known,
    )


def _up(epsilon: float) -> float | None:
    """Never below what was spent; None without a bound."""
    return math.ceil(epsilon * 1000) / 1000 if math.isfinite(epsilon) else None


def addition(gauge: BudgetGauge, study: Study, sha256: str) -> Addition:
    """What a study would add to a cohort's budget at most, by what it promises.

    The sum of two epsilons is above that of the two studies together, at one delta. A study that counts at a larger
    delta than the cohort promises nothing that could be added: its number is then not known here.
    """
    privacy = study.privacy
    share = next((each for each in gauge.shares if each.study == sha256), None)
    if share is not None and share.kept_free is not None:
        return Addition(already=True, epsilon=0.0)
    if gauge.damaged is not None or not privacy.private or privacy.delta > gauge.delta:
        return Addition(epsilon=None)
    done = 0.0 if share is None else share.epsilon
    if done is None or gauge.promised is None:
        return Addition(epsilon=None)
    adds = max(0.0, privacy.epsilon - done)
    after = None if gauge.limit is None else gauge.limit - gauge.promised - adds
    return Addition(epsilon=adds, left=None if after is None else math.floor(after * 1000) / 1000)
