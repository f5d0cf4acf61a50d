"""A site's budget ledger: append-only, hash-chained, on disk before a step is taken.

A row says "steps of this mechanism may now be taken for round r of this study, starting from this model".
It is written and fsynced first, so a crash at any point can only over-count. A row is keyed by (study,
round, model): doing the same round again from the same model, after a crash and before anything left the
site, is the same row and is charged once (see fedgen.federation.site for why only one result of it can leave).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fedgen_privacy.accounting import Spend
from fedgen_privacy.durable import append_line
from fedgen_privacy.errors import PrivacyRefusedError

GENESIS = "0" * 64


@dataclass(frozen=True)
class Charge:
    """One row: a spend and what it was for.

    Attributes:
        study: hash of the resolved study.
        round: round number, from 1.
        model: sha256 of the model the steps start from.
        spend: the mechanism and its number of steps.
    """

    study: str
    round: int
    model: str
    spend: Spend

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes two charges the same work."""
        return (self.study, self.round, self.model)


def _digest(previous: str, row: dict[str, object]) -> str:
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


class Ledger:
    """The ledger file of one site.

    Args:
        path: JSON lines; created where absent.

    Raises:
        PrivacyRefusedError: the chain is broken, that is a row was changed, removed or inserted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Charge] = []
        self._last = GENESIS
        if path.exists():
            self._replay()

    def _replay(self) -> None:
        content = self._path.read_bytes()
        complete, _, torn = content.rpartition(b"\n")
        for number, line in enumerate(complete.split(b"\n") if complete else [], start=1):
            try:
                value = json.loads(line)
                row, digest = value["row"], value["sha256"]
                charge = Charge(row["study"], row["round"], row["model"], Spend(**row["spend"]))
            except (ValueError, KeyError, TypeError) as error:
                raise self._broken(number) from error
            if digest != _digest(self._last, row):
                raise self._broken(number)
            self._rows.append(charge)
            self._last = digest
        if torn:
            # The line was being written when the process died, so its fsync had not returned and the
            # steps it announces were not taken: the row is cut off, not counted.
            with self._path.open("r+b") as handle:
                handle.truncate(len(content) - len(torn))
                os.fsync(handle.fileno())

    def _broken(self, number: int) -> PrivacyRefusedError:
        return PrivacyRefusedError(
            f"The privacy ledger {self._path} is damaged at line {number}, so what was spent is unknown and "
            "nothing more may be: restore the file from its backup."
        )

    def __iter__(self) -> Iterator[Charge]:
        return iter(tuple(self._rows))

    def spends(self, study: str | None = None) -> list[Spend]:
        """What was charged, of one study or of all."""
        return [row.spend for row in self._rows if study is None or row.study == study]

    def charge(self, charge: Charge) -> bool:
        """Put `charge` on disk before its steps are taken; False where the same work is already charged.

        Raises:
            PrivacyRefusedError: the same work was charged with another mechanism.
            OSError: the row could not be written; then the steps must not be taken.
        """
        for row in self._rows:
            if row.key == charge.key:
                if row.spend != charge.spend:
                    raise PrivacyRefusedError(
                        f"Round {charge.round} is already in the ledger {self._path} with another mechanism: "
                        "a study's privacy cannot change while it runs, so start a new run."
                    )
                return False
        entry = asdict(charge)
        digest = _digest(self._last, entry)
        append_line(self._path, json.dumps({"row": entry, "sha256": digest}, allow_nan=False).encode())
        self._rows.append(charge)
        self._last = digest
        return True
