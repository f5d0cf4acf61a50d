"""Which sums a site has helped to open: append-only, on disk before the last answer leaves.

A round that is tried again, after a failure or a restart, works on the same updates. If the second sum had other
sites in it than the first, their difference would show single updates. So a site that has once answered UNMASK for a
round takes part in that round again only for the same sum: same model, same survivors. Opening any sum
needs t such answers, and 2t > n + c leaves no second set of t sites that would answer differently.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fedgen_privacy.durable import append_line
from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.lock import exclusive


@dataclass(frozen=True)
class OpenedSum:
    """A sum that a site helped to open.

    Attributes:
        study: hash of the study, hex.
        round: its round.
        model: hash of the model the updates started from, hex.
        survivors: the sites in it, sorted.
    """

    study: str
    round: int
    model: str
    survivors: tuple[str, ...]


class OpenedSums:
    """The file of one site.

    Args:
        path: JSON lines; created where absent.

    Raises:
        PrivacyRefusedError: a line is not readable, so what was opened is unknown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sums: dict[tuple[str, int], OpenedSum] = {}
        self._replay()

    def _replay(self) -> None:
        path = self._path
        if not path.exists():
            return
        # A last line without its end was being written when the process died: its answer never left.
        complete = path.read_bytes().rpartition(b"\n")[0]
        for number, line in enumerate(complete.split(b"\n") if complete else [], start=1):
            try:
                value = json.loads(line)
                opened = OpenedSum(
                    str(value["study"]), int(value["round"]), str(value["model"]), tuple(value["survivors"])
                )
            except (ValueError, KeyError, TypeError) as error:
                raise PrivacyRefusedError(
                    f"{path} is damaged at line {number}, so which sums this site helped to open is unknown and no "
                    "further may be: restore the file from its backup."
                ) from error
            self._sums[opened.study, opened.round] = opened

    def of_round(self, study: str, round: int) -> OpenedSum | None:
        """The sum of a round, None where none was opened."""
        return self._sums.get((study, round))

    def record(self, opened: OpenedSum) -> None:
        """Write down a sum before the answer that helps to open it leaves.

        Raises:
            PrivacyRefusedError: another sum of this round was opened before, by this process or another.
            OSError: it could not be written; then the answer must not leave.
        """
        with exclusive(self._path.with_suffix(".lock")):
            self._replay()
            self._append(opened)

    def _append(self, opened: OpenedSum) -> None:
        before = self.of_round(opened.study, opened.round)
        if before == opened:
            return
        if before is not None:
            raise PrivacyRefusedError(
                f"Round {opened.round} was already summed over {', '.join(before.survivors)}, and a second sum over "
                "others would show single updates: those sites have to come back, or a new run begins."
            )
        append_line(self._path, json.dumps(asdict(opened)).encode())
        self._sums[opened.study, opened.round] = opened
