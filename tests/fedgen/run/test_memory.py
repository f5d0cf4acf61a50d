"""Large buffers go back to the system; measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from fedgen.run.memory import BYTES
from fedgen.run.memory import return_large_buffers
if sys.argv[1] == "yes":
    return_large_buffers()
import ctypes
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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_what_is_freed_is_returned() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "yes"], capture_output=True, text=True, timeout=60, check=True
    )
    assert float(done.stdout) < 3.0
