"""Ends what the benchmark started, found by a mark in its environment, also where the benchmark itself was killed.

Run as `python reaper.py KEY` it waits until its standard input is closed, which happens however its parent ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

MARK = "FEDGEN_BENCHMARK"
POLL_SECONDS = 0.05


def marked(start: str) -> dict[int, str]:
    """Command line by id of living processes whose mark begins with `start`."""
    mark = f"\0{MARK}={start}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # Processes of others cannot be read, and any may end while it is looked at.
        with contextlib.suppress(OSError):
            if mark in b"\0" + (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode(errors="replace")
    return found


def kill_marked(start: str) -> None:
    """Kill them, and again while there are any: one may be starting another just now."""
    while found := marked(start):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    # Whoever stops the benchmark from a terminal or by its group must not stop this first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_marked(f"{sys.argv[1]}/")
