"""What a person is told to do next: each program has its own commands, so the one that runs hands its words in.

The floors below a program know what went wrong, never which options the program has. Their sentences end with words
from here. Until a program sets them, and in processes that belong to no program, such as the workers of a simulation,
they are true for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hints:
    """Ends of sentences, each an imperative or a clause without a full stop.

    Attributes:
        again: how to go on once what was wrong is mended: "free some space and ...", "The run was stopped: ...".
        elsewhere: what to do where this user may not read or write a file.
        stopped: how to go on after an interrupt.
    """

    again: str = "start it again"
    elsewhere: str = "give this user the right to"
    stopped: str = "started again, it goes on from here"


_spoken = Hints()


def hints() -> Hints:
    """Those of the program that runs."""
    return _spoken


def speak_as(words: Hints) -> None:
    """Set the hints of this process: by a program at its start, and by a command that has better ones."""
    global _spoken
    _spoken = words
