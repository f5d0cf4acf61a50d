"""The privacy modes by name: which a study may ask for, and which of them promise anything."""

from __future__ import annotations

from typing import Literal

Mode = Literal["local", "distributed", "none"]

#: Those that promise something to a patient.
PRIVATE: tuple[Mode, ...] = ("local", "distributed")


def is_private(mode: str) -> bool:
    """Whether a mode promises anything; one that is not known does not."""
    return mode in PRIVATE
