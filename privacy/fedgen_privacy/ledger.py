"""A site's budget ledger: append-only, hash-chained, on disk before a step is taken.

A row says "steps of this mechanism may now be taken for round r of this study, starting from this model".
It is written and fsynced first, so a crash at any point can only over-count. A row is keyed by (study,
round, model): doing the same round again from the same model, after a crash and before anything left the
site, is the same row and is charged once (see fedgen.federation.site.site for why only one result of it can leave).

With a `Budget`, a row that would bring the epsilon of ALL rows, of all studies, above it is refused before it is
written. How they compose, and by which accountant, is fedgen_privacy.composition's to say. A study that was admitted
(`reserve`) has the rest of its plan kept free: another's row has to fit beside it as if it were charged already, so
that of two studies that cannot both end the second does not begin (fedgen_privacy.reservations).

Beside the ledger lie `<name>.head`, without which rows cut off at the end would leave no trace (fedgen_privacy.chain),
and `<name>.lock`, which a charge holds from reading to writing, so that two processes never spend the same budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fedgen_privacy.accounting import Spend
from fedgen_privacy.chain import Chain, ChainBrokenError
from fedgen_privacy.composition import Spends, epsilon_of_studies, is_done, with_plan
from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.lock import exclusive
from fedgen_privacy.reservations import damaged, keep, lock_of, release, reservations_of


class BudgetExceededError(PrivacyRefusedError):
    """What was asked would bring what is spent above what is allowed; nothing was written."""


@dataclass(frozen=True)
class Budget:
    """What a cohort may spend over all studies together.

    Attributes:
        epsilon: limit, at least 0.
        delta: in (0, 1), the delta at which epsilon is counted.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not self.epsilon >= 0:
            raise ValueError(f"epsilon must be at least 0, not {self.epsilon}")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must be in (0, 1), not {self.delta}")


@dataclass(frozen=True)
class Charge:
    """One row: a spend and what it was for.

    Attributes:
        study: hash of the resolved study.
        round: round number, from 1.
        model: sha256 of the model the steps start from.
        spend: the mechanism and its number of steps; None for work without privacy, whose epsilon is infinite.
    """

    study: str
    round: int
    model: str
    spend: Spend | None

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes two charges the same work."""
        return (self.study, self.round, self.model)


class Ledger:
    """The ledger file of one site, or of one of its cohorts.

    Args:
        path: JSON lines; created where absent.

    Raises:
        PrivacyRefusedError: a row was changed, moved, inserted or removed, or the head is damaged or gone.
        OSError: a file is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._chain = Chain(path)
            self._rows = self._charges()
        except ChainBrokenError as error:
            raise self._damaged(error) from error

    def __iter__(self) -> Iterator[Charge]:
        return iter(tuple(self._rows))

    def refresh(self) -> None:
        """Read what was written since, by this or another process; cheap where nothing was.

        Raises:
            PrivacyRefusedError, OSError: as when it was opened.
        """
        try:
            self._chain.refresh()
            self._rows = self._charges()
        except ChainBrokenError as error:
            raise self._damaged(error) from error

    def spends(self, study: str | None = None) -> list[Spend]:
        """The mechanisms charged, of one study or of all; work without privacy has none (`spent` counts it)."""
        rows = (row for row in self._rows if study is None or row.study == study)
        return [row.spend for row in rows if row.spend is not None]

    def by_study(self) -> dict[str, list[Spend | None]]:
        """What was charged for each study, in the order of their first rows; None is work without privacy."""
        studies: dict[str, list[Spend | None]] = {}
        for row in self._rows:
            studies.setdefault(row.study, []).append(row.spend)
        return studies

    def spent(self, delta: float) -> float:
        """Epsilon at `delta` of all rows, an upper bound; infinite after work without privacy."""
        return epsilon_of_studies(self.by_study().values(), delta)

    def reserved(self) -> dict[str, list[Spend | None]]:
        """The whole plan of each study that was admitted, not released, and is not yet charged to its end.

        Raises:
            PrivacyRefusedError: the file is damaged.
            OSError: it cannot be read.
        """
        charged = self.by_study()
        try:
            plans = {
                study: [None if row is None else Spend(**row) for row in rows]
                for study, rows in reservations_of(self._path).items()
            }
        except (ValueError, TypeError) as error:
            raise damaged(self._path) from error
        return {study: plan for study, plan in plans.items() if not is_done(charged.get(study, []), plan)}

    def promised(self, delta: float) -> float:
        """Epsilon at `delta` of all rows once every admitted study is done as well, an upper bound.

        Raises:
            PrivacyRefusedError, OSError: as `reserved`.
        """
        return epsilon_of_studies(self._beside(None), delta)

    def after(self, spends: Spends, delta: float, study: str | None = None) -> float:
        """Epsilon at `delta` once `spends` are charged as well, and all that others were admitted for.

        Nothing is written.

        Args:
            spends: the whole plan of one study.
            delta: in (0, 1).
            study: its hash, where it may have begun: its rows are then part of the plan, not added to it.

        Raises:
            PrivacyRefusedError, OSError: as `reserved`.
        """
        charged = [] if study is None else self.by_study().get(study, [])
        return epsilon_of_studies([*self._beside(study), with_plan(charged, spends)], delta)

    def admit(self, study: str, plan: Spends, budget: Budget) -> float:
        """Whether the whole of a study fits; nothing is written or kept free.

        Args:
            study: its hash; rows it already has are part of the plan.
            plan: all its steps; None stands for work without privacy.
            budget: the limit.

        Returns:
            Epsilon at `budget.delta` once the study is done, and every other that was admitted.

        Raises:
            BudgetExceededError: it does not fit.
            PrivacyRefusedError, OSError: as `reserved`.
        """
        epsilon = self.after(plan, budget.delta, study)
        if not epsilon <= budget.epsilon:
            raise self._exceeded(f"The whole of study {study[:12]}", epsilon, budget, study)
        return epsilon

    def reserve(self, study: str, plan: Spends, budget: Budget) -> float:
        """Admit a study before its first step, and keep the rest of its plan free until it is charged or released.

        Admitted again, by a run that is resumed, it has its new plan in the place of the old one.

        Args:
            study, plan, budget: as `admit`.

        Returns:
            As `admit`.

        Raises:
            BudgetExceededError: it does not fit; what was kept free for it before stays.
            PrivacyRefusedError: the ledger or its reservations are damaged.
            LockedError: another process holds the ledger.
            OSError: it could not be written; then the study is not admitted.
        """
        with exclusive(lock_of(self._path)):
            self.refresh()
            epsilon = self.admit(study, plan, budget)
            plans = {**self.reserved(), study: with_plan([], plan)}
            keep(self._path, {name: [_row(spend) for spend in steps] for name, steps in plans.items()})
        return epsilon

    def release(self, study: str) -> bool:
        """Let others have what is kept free for a study; see fedgen_privacy.reservations.release."""
        return release(self._path, study)

    def _beside(self, study: str | None) -> list[Spends]:
        """Every other study: what was charged of it, or its whole plan where it was admitted and is not done."""
        charged, plans = self.by_study(), self.reserved()
        return [
            with_plan(charged.get(name, []), plans[name]) if name in plans else charged[name]
            for name in dict.fromkeys([*charged, *plans])
            if name != study
        ]

    def charge(self, charge: Charge, budget: Budget | None = None) -> bool:
        """Put `charge` on disk before its steps are taken; False where the same work is already charged.

        Rows that another process wrote since this ledger was read are read first.

        Args:
            charge: the row.
            budget: limit that all rows together keep; None for no limit.

        Raises:
            BudgetExceededError: all rows, what other studies were admitted for, and this one would exceed the budget.
            PrivacyRefusedError: the same work was charged with another mechanism, or the file was damaged since it
                was read.
            LockedError: another process holds the ledger.
            OSError: the row could not be written; then the steps must not be taken.
        """
        with exclusive(lock_of(self._path)):
            try:
                return self._charge(charge, budget)
            except ChainBrokenError as error:
                raise self._damaged(error) from error

    def _charge(self, charge: Charge, budget: Budget | None) -> bool:
        self._chain.refresh()
        self._chain.settle()
        self._rows = self._charges()
        for row in self._rows:
            if row.key == charge.key:
                if row.spend != charge.spend:
                    raise PrivacyRefusedError(
                        f"Round {charge.round} is already in the ledger {self._path} with another mechanism: "
                        "a study's privacy cannot change while it runs, so only a new run can have another."
                    )
                return False
        if budget is not None:
            self._check(charge, budget)
        self._chain.append(asdict(charge))
        self._rows.append(charge)
        return True

    def _check(self, charge: Charge, budget: Budget) -> None:
        own = [*self.by_study().get(charge.study, []), charge.spend]
        studies = [*self._beside(charge.study), own]
        epsilon = epsilon_of_studies(studies, budget.delta, enough=budget.epsilon)
        if not epsilon <= budget.epsilon:
            what = f"Round {charge.round} of study {charge.study[:12]}"
            raise self._exceeded(what, epsilon, budget, charge.study)

    def _charges(self) -> list[Charge]:
        charges = []
        for number, row in enumerate(self._chain.rows, start=1):
            try:
                spend = None if row["spend"] is None else Spend(**row["spend"])
                charges.append(Charge(row["study"], row["round"], row["model"], spend))
            except (ValueError, KeyError, TypeError) as error:
                raise ChainBrokenError(f"is damaged at line {number}") from error
        return charges

    def _damaged(self, how: ChainBrokenError) -> PrivacyRefusedError:
        return PrivacyRefusedError(
            f"The privacy ledger {self._path} {how}, so what was spent is unknown and nothing more may be: "
            "restore the file and its head from their backup."
        )

    def _exceeded(self, what: str, epsilon: float, budget: Budget, study: str) -> BudgetExceededError:
        others = [name[:12] for name in self.reserved() if name != study]
        free = f", with what is kept free for {', '.join(others)}," if others else ""
        return BudgetExceededError(
            f"{what} would bring epsilon in {self._path} from {_shown(self.spent(budget.delta))} to "
            f"{_shown(epsilon)}{free} at delta {budget.delta:g}, above the {budget.epsilon:g} allowed: take part in a "
            "study with a smaller epsilon or fewer rounds, or raise the limit if the patients' protection permits it."
        )


def _row(spend: Spend | None) -> dict[str, object] | None:
    return None if spend is None else asdict(spend)


def _shown(epsilon: float) -> str:
    # Upwards, so that what is shown is never below what was spent.
    return f"{math.ceil(epsilon * 1000) / 1000:g}" if math.isfinite(epsilon) else "no bound at all"
