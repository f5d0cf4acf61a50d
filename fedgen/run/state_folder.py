"""Where a person who runs studies on one machine keeps their own keys."""

from __future__ import annotations

import os
from pathlib import Path

from fedgen.errors import DataError


def state_folder() -> Path:
    """FEDGEN_STATE, else `fedgen` in XDG_STATE_HOME, else ~/.local/state/fedgen.

    Raises:
        DataError: nobody knows the home folder.
    """
    own, base = os.environ.get("FEDGEN_STATE"), os.environ.get("XDG_STATE_HOME")
    try:
        folder = Path(own) if own else (Path(base) if base else Path.home() / ".local" / "state") / "fedgen"
    except RuntimeError:
        raise DataError(
            "There is no home folder to keep keys in: set FEDGEN_STATE to a folder of yours."
        ) from None
    return folder.absolute()
