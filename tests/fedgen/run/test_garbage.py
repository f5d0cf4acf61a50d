"""A program that looks for garbage less often still finds it, and does not search all it has at its end."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, gc, weakref
from fedgen.run.garbage import THRESHOLDS, look_less_often

class Node:
    pass

def circle():
    one = Node()
    one.itself = one
    return weakref.ref(one)

atexit.register(lambda: print(gc.get_freeze_count() > 1000))
look_less_often()
gone = circle()
kept = [[] for _ in range(THRESHOLDS[0] + 1)]
print(gc.isenabled(), gone() is None)
"""


def test_circles_are_found_and_nothing_is_searched_at_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    # What was registered first is called last.
    assert done.stdout.split() == ["True", "True", "True"]
