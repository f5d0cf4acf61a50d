"""Full secure rounds under `fedgen-server run`: how long they take beyond training, and what memory they leave taken.

A site's training is timed from outside, by two files that it writes around it: the row that charges the round to
the ledger, before, and the result in the outbox, after. So it is the training of that very round, beside the same
neighbours on the same cores; the result's encoding and its way to the disk count as training.

Memory is the least that a process held at any moment of a round: a vector on its way, of 4 MB here, is in the memory of
a process for a part of a round, and what grows with the rounds is there in all of it.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

from deployment.meter import resident_mb
from deployment.ours import CONDUCTOR, READY_SECONDS, Ours
from deployment.processes import ProcessError, Processes

ROUND_SECONDS = 60.0


class _Training:
    """When one site charged and finished each round, read from the times of its files."""

    def __init__(self, ledger: Path, studies: Path) -> None:
        self._ledger, self._studies = ledger, studies
        self._size = ledger.stat().st_size if ledger.exists() else 0
        self._before = set(studies.glob("*/outbox"))
        self._charged: list[float] = []
        self._done: dict[int, float] = {}

    def look(self) -> None:
        """Take down what is new; to be called oftener than a round takes."""
        if self._ledger.exists() and (found := self._ledger.stat()).st_size > self._size:
            self._size = found.st_size
            self._charged.append(found.st_mtime)
        for outbox in set(self._studies.glob("*/outbox")) - self._before:
            for path in outbox.glob("round-*.safetensors"):
                number = int(path.stem.removeprefix("round-"))
                if number not in self._done:
                    self._done[number] = path.stat().st_mtime

    def seconds(self, rounds: int) -> list[float]:
        """Of each round's training."""
        if len(self._charged) != rounds or sorted(self._done) != list(range(1, rounds + 1)):
            raise ProcessError(
                f"{self._ledger}: the charges and results of {rounds} rounds were not all seen"
            )
        return [self._done[number + 1] - charged for number, charged in enumerate(self._charged)]


def rounds(processes: Processes, ours: Ours, name: str, count: int) -> dict[str, Any]:
    """Conduct a study of `count` rounds.

    Returns:
        of each round the `seconds` by the run's own events, the `training` of its slowest site, `beyond`, which is
        their difference, and `memory_mb` of every process after it; of the last round `bytes` and `exchanges`; and
        how many sessions were `aborts`.
    """
    watched = [
        _Training(ours.folder(site) / "ledgers" / "main.jsonl", ours.folder(site) / "studies")
        for site in ours.sites
    ]
    memory: list[dict[str, float]] = []
    least = _Least()
    with ours.conduct(name, count) as run:

        def finished(number: int) -> bool:
            for training in watched:
                training.look()
            least.look()
            return len(_rounds(run)) >= number

        for number in range(1, count + 1):
            processes.until(
                lambda number=number: finished(number),  # type: ignore[misc]
                READY_SECONDS + ROUND_SECONDS if number == 1 else ROUND_SECONDS,
                f"round {number} of {name}",
            )
            memory.append(least.end_round(_pids(processes, ours)))
        events = _rounds(run)
    seconds = [float(event["seconds"]) for event in events]
    slowest = [max(of_round) for of_round in zip(*(w.seconds(count) for w in watched), strict=True)]
    return {
        "sites": len(ours.sites),
        "rounds": count,
        "seconds": seconds,
        "training": slowest,
        "beyond": [whole - part for whole, part in zip(seconds, slowest, strict=True)],
        "aborts": sum(len(event["secure"]["aborts"]) for event in events),
        "bytes": events[-1]["secure"]["bytes"],
        "exchanges": events[-1]["secure"]["exchanges"],
        "memory_mb": memory,
    }


def _rounds(run: Path) -> list[dict[str, Any]]:
    events = run / "events.jsonl"
    if not events.exists():
        return []
    lines = events.read_text(encoding="utf-8").splitlines(keepends=True)
    # The last line may be half written.
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event for event in found if event["event"] == "round"]


def _pids(processes: Processes, ours: Ours) -> dict[str, int]:
    found = {"server": processes.pid(ours.link), "conductor": processes.pid(CONDUCTOR)}
    for site in ours.sites:
        worker = ours.worker(site)
        if worker is None:
            raise ProcessError(f"{site} has no worker in the middle of a study:\n{processes.tail(site)}")
        found |= {f"supervisor {site}": processes.pid(site), f"worker {site}": worker}
    return found


class _Least:
    """The least memory of each process in each round; in the first, when it ends."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._least: dict[str, float] = {}

    def look(self) -> None:
        """Take down what the processes hold now."""
        for name, pid in self._pids.items():
            # A worker may be replaced; the round's end finds the new one.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                self._least[name] = min(self._least.get(name, math.inf), resident_mb(pid))

    def end_round(self, pids: dict[str, int]) -> dict[str, float]:
        """What was found since the last call, in MB by name; goes on with these processes."""
        self._pids = pids
        self.look()
        found, self._least = self._least, {}
        return found
