"""What pays for a site's rounds: one row of the cohort's ledger a round, on disk before a patient is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedgen.errors import PrivacyRefusedError
from fedgen.run.atomic import unwritable
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Budget, Charge, Ledger


@dataclass(frozen=True)
class Account:
    """What a study's rounds are charged to.

    Attributes:
        ledger: file of the cohort's ledger.
        budget: what all studies of the cohort together may spend; None for no limit.
    """

    ledger: Path
    budget: Budget | None = None


class Charging:
    """The charges of one study.

    Args:
        account: what pays.
        study_sha256: of the study.
    """

    def __init__(self, account: Account, study_sha256: str) -> None:
        self._account = account
        self._study = study_sha256
        self._ledger: Ledger | None = None

    @property
    def lock(self) -> Path:
        """The file that whoever charges and works has to hold."""
        return self._account.ledger.with_suffix(".lock")

    def last_round(self) -> int:
        """The last round of the study that was charged; 0 before the first."""
        rows = [row.round for row in Ledger(self._account.ledger) if row.study == self._study]
        return max(rows, default=0)

    def admit(self, plan: Sequence[Spend | None]) -> None:
        """Refuse at the start a study that the budget would end in the middle; keep free what an admitted one needs.

        Raises:
            BudgetExceededError: the plan does not fit beside what was spent and what others were admitted for.
            PrivacyRefusedError: the ledger or its reservations are damaged.
            DataError: the reservation cannot be written.
        """
        if self._account.budget is None:
            return
        try:
            Ledger(self._account.ledger).reserve(self._study, plan, self._account.budget)
        except OSError as error:
            raise unwritable(self._account.ledger, error) from error

    @property
    def begun(self) -> bool:
        """Whether a round of the study was ever charged.

        Raises:
            PrivacyRefusedError: the ledger was tampered with.
            OSError: it cannot be read.
        """
        ledger = self._account.ledger
        return ledger.exists() and any(row.study == self._study for row in Ledger(ledger))

    def charge(self, round: int, model_sha256: str, spend: Spend | None, *, kept: bool) -> None:
        """Write down what a round costs; once, however often it is begun.

        Args:
            round: of the aggregation.
            model_sha256: of the model it is for.
            spend: what it costs; None for work without privacy.
            kept: whether a result of the round was ever written and not yet removed, readable or not.

        Raises:
            PrivacyRefusedError: the round was charged for another model, or a result of it may have left already.
            BudgetExceededError: the budget does not cover it.
            DataError: the ledger cannot be written.
        """
        if self._ledger is None:
            self._ledger = Ledger(self._account.ledger)
        # Kept open, or each of thousands of rounds would verify all rows before it anew.
        ledger = self._ledger
        ledger.refresh()
        charge = Charge(self._study, round, model_sha256, spend)
        rows = [row for row in ledger if row.study == charge.study]
        for row in rows:
            # Another model for a round already charged would be a second release of that round, outside
            # the plan that the noise was calibrated for.
            if row.round == charge.round and row.key != charge.key:
                raise PrivacyRefusedError(
                    f"Round {round} was already charged for another model: a round is trained once."
                )
        # A charged round without a result may be worked on only where none can have left: a result was never
        # written, and no later round shows that it was written, sent and removed since.
        later = any(row.round > charge.round for row in rows)
        if any(row.key == charge.key for row in rows) and (later or kept):
            raise PrivacyRefusedError(
                f"Round {round} was already trained and its result is no longer kept: a round is trained once."
            )
        try:
            ledger.charge(charge, self._account.budget)
        except OSError as error:
            raise unwritable(self._account.ledger, error) from error
