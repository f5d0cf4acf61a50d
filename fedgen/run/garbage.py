"""Python looks for garbage less often: a program that imports torch makes a million objects that stay to its end.

Nothing is kept longer that is in no circle, such as images and gradients: those go when the last name for them does.
"""

from __future__ import annotations

import atexit
import gc

#: New objects, and looks at the younger generation, between two looks; Python's own are 700, 10 and 10.
THRESHOLDS = (50_000, 20, 50)


def look_less_often() -> None:
    """For a whole program: a second or two less of importing, and as much less at its end."""
    gc.set_threshold(*THRESHOLDS)
    # At the end everything is given back at once; to search it for circles first takes seconds.
    atexit.register(gc.freeze)
