"""A place like a container's, without one: read-only root, one writable folder, no network but loopback, no privilege.

Made by `unshare`, `mount` and `setpriv` of Linux, as root; nothing outside the place is changed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

NEEDS = ("unshare", "setpriv", "mount", "ip")


def why_not() -> str | None:
    """Why such a place cannot be made here; None where it can."""
    missing = [name for name in NEEDS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not here"
    if os.geteuid() != 0:
        return "only root may make namespaces"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "true"],
        capture_output=True,
        check=False,
    )
    return None if tried.returncode == 0 else "namespaces are not allowed here"


def closed_above(folder: Path) -> Path | None:
    """The first folder on the way to `folder` that other users may not enter."""
    for each in (*reversed(folder.parents), folder):
        if not each.stat().st_mode & stat.S_IXOTH:
            return each
    return None


def run_sealed(
    script: str, writable: Sequence[Path], user: int, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a shell script in such a place.

    Args:
        script: for sh, run without privileges.
        writable: folders that stay writable, beside a fresh /tmp; not below /tmp.
        user: number of the user and the group.
        environment: the whole environment of the script.
        timeout: seconds.
    """
    python = Path(sys.base_prefix).resolve()
    closed = closed_above(python)
    steps = ["set -e", "ip link set lo up", "mount -t tmpfs -o mode=1777 tmpfs /tmp"]
    if closed is not None:
        # An interpreter below root's home: the folder is replaced by one with nothing in it but the interpreter.
        hold = "/tmp/.python"
        steps += [
            f"mkdir {hold}",
            f"mount --bind {shlex.quote(str(python))} {hold}",
            f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(closed))}",
            f"mkdir -p {shlex.quote(str(python))}",
            f"mount --bind {hold} {shlex.quote(str(python))}",
        ]
    steps += ["mount --bind / /", "mount -o remount,bind,ro /"]
    for folder in writable:
        at = shlex.quote(str(folder))
        steps += [f"mount --bind {at} {at}", f"mount -o remount,bind,rw {at}"]
    drop = f"setpriv --reuid {user} --regid {user} --clear-groups --bounding-set -all --no-new-privs"
    steps.append(f"exec {drop} sh -c {shlex.quote(script)}")
    # A process space of its own, so that nothing of it outlives the script.
    place = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run(
        [*place, "--", "sh", "-c", "\n".join(steps)],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
