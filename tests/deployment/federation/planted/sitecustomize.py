"""kill -9 of a process and of its whole group, at an instant that no test could hit from outside.

Python runs this file at its start where its folder is on the path. KILL names the instant, as WHEN:PATTERN:MARK: before
or after something at a path like PATTERN is forced to the disk; or `torn`, before that and with half of the last line
gone, as a power failure leaves it. It happens once, which the file MARK then shows.
"""

import os
import signal
from fnmatch import fnmatch
from pathlib import Path


def _plant(when: str, pattern: str, mark: Path) -> None:
    really = os.fsync

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        here = fnmatch(str(path), pattern) and not mark.exists()
        if here and when == "torn":
            content = path.read_bytes()
            os.truncate(path, len(content) - len(content.splitlines()[-1]) // 2)
        if here and when != "after":
            _die(mark)
        really(handle)
        if here:
            _die(mark)

    os.fsync = fsync


def _die(mark: Path) -> None:
    mark.touch()
    os.killpg(0, signal.SIGKILL)


if "KILL" in os.environ:
    _when, _pattern, _mark = os.environ["KILL"].split(":")
    _plant(_when, _pattern, Path(_mark))
