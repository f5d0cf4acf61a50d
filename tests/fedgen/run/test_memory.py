"""Large buffers go back to the system; measured in a process of its own, beside one that lacks the setting."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from fedgen.run.memory import BYTES, return_large_buffers
if sys.argv[1] == "set":
    return_large_buffers()
mib = 2**20
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
bytearray(16 * mib)  # glibc learns a threshold from what is freed
start = resident()
large = [bytearray(4 * mib) for _ in range(8)]
pins = []
for number in range(8):
    pins.append(bytearray(100_000))
    large[number] = bytearray(4 * mib + 4096 * number)
del large
print((resident() - start) / mib)
"""


def grown(setting: str) -> float:
    """MiB that a process keeps after it has freed 32 MiB in eight buffers."""
    # A simulation sets the allocator of its workers, and this process may have run one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, setting],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is one of glibc's")
def test_what_is_freed_is_returned() -> None:
    assert grown("set") < 3.0
    # Without the setting the same work leaves most of it behind, or this would prove nothing.
    assert grown("not set") > 10.0
