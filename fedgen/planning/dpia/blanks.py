"""What a study cannot know and only the hospital can fill in, marked so that nothing left open is overlooked."""

from __future__ import annotations

#: Every blank begins with it; a form that has one left is not finished.
MARK = "[TO-FILL-IN:"


def blank(what: str) -> str:
    """A marked blank that says what belongs there.

    >>> blank("name of the controller")
    '[TO-FILL-IN: name of the controller]'
    """
    return f"{MARK} {what}]"
