"""A model on its way to sites behind bad lines: how long it takes, and what a cut on the way costs."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

from deployment.ours import Ours
from deployment.processes import ProcessError, Processes
from deployment.rounds import rounds
from deployment.study import Size
from deployment.transport import vectors

from scaling.slow_line import Quality, SlowLine

SITES = 3
#: 10 Mbit/s, 200 ms there and back, one segment in a hundred lost.
FAR = Quality(bits_per_second=10e6, round_trip=0.2, loss=0.01)
#: As fast as loopback carries it: what the relay itself costs.
NEAR = Quality(bits_per_second=10e9, round_trip=0.0, loss=0.0)
CUT_SECONDS = 5.0
#: Of the model's bytes; what has come by then lies in finished parts and in one that is not.
CUT_AT = 0.6
POLL_SECONDS = 0.02


class Lines:
    """The line of each site, made as it joins."""

    def __init__(self, quality: Quality) -> None:
        self._quality = quality
        self.of: dict[str, SlowLine] = {}

    def __call__(self, site: str, port: int) -> int:
        """The port at which `site` reaches the server at `port`."""
        self.of[site] = SlowLine(port, self._quality, seed=len(self.of))
        return self.of[site].port

    def close(self) -> None:
        """Relay no more."""
        for line in self.of.values():
            line.close()


def secure_rounds(processes: Processes, folder: Path, quality: Quality, count: int) -> dict[str, Any]:
    """Seconds of secure rounds of a million parameters over such lines, as `deployment/rounds.py` gives them."""
    lines = Lines(quality)
    ours = Ours(processes, folder, SITES, lines)
    try:
        return rounds(processes, ours, "lines", count)
    finally:
        processes.stop(ours.link, *ours.sites)
        lines.close()


def broadcast(processes: Processes, folder: Path, quality: Quality, size: Size) -> dict[str, Any]:
    """One exchange of the model down and an update up, whole; then one in which a site is cut off on the way down.

    Returns:
        `seconds`, `cut_seconds`, and of the site that was cut `megabytes` and `cut_megabytes` that came down to it.
    """
    lines = Lines(quality)
    ours = Ours(processes, folder, SITES, lines)
    try:
        # The first exchange is trained for and not timed; the second is the whole one, the third the cut one.
        site = ours.sites[0]
        line = lines.of[site]
        came: list[int] = []
        cut = threading.Event()

        def before(number: int) -> None:
            came.append(line.down)
            if number == 2:
                at = line.down + CUT_AT * 4 * size.parameters
                threading.Thread(target=_cut_at, args=(line, at, cut), daemon=True).start()

        seconds = vectors(ours, 2, size, before)
        came.append(line.down)
        if not cut.is_set():
            raise ProcessError("the line was not cut: less came down than a model has")
    finally:
        processes.stop(ours.link, *ours.sites)
        lines.close()
    whole, cut_off = (after - start for start, after in itertools.pairwise(came[1:]))
    return {
        "sites": SITES,
        "megabytes_of_model": 4 * size.parameters / 1e6,
        "seconds": seconds[0],
        "cut_seconds": seconds[1],
        "megabytes": whole / 1e6,
        "cut_megabytes": cut_off / 1e6,
    }


def _cut_at(line: SlowLine, at: float, cut: threading.Event) -> None:
    while line.down < at:
        time.sleep(POLL_SECONDS)
    line.cut(CUT_SECONDS)
    cut.set()
