"""Text that others wrote, made safe for a terminal."""

from __future__ import annotations


def printable(text: str, most: int | None = None) -> str:
    """One line without control characters, which could write over what a person is to read; at most `most` long.

    >>> printable("round 1\\x1b[2J\\nok")
    'round 1 [2J ok'
    """
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if most is None or len(line) <= most else f"{line[: most - 3]}..."
