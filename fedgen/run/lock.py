"""One process at a time, with a sentence of its own where another is there already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fedgen.errors import LockedError
from fedgen.run.atomic import unwritable
from fedgen_privacy.lock import exclusive


@contextlib.contextmanager
def held(path: Path, wait: float = 10.0, *, busy: str | None = None) -> Iterator[None]:
    """Hold the lock file `path` for the block; even kill -9 releases it. Not to be nested.

    Args:
        path: made where absent.
        wait: seconds to wait for another process.
        busy: the sentence where another process holds it all that time, instead of one about the file.

    Raises:
        LockedError: another process holds it.
        DataError: the file cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive(path, wait))
        except LockedError:
            if busy is None:
                raise
            raise LockedError(busy) from None
        except OSError as error:
            raise unwritable(path, error) from error
        yield


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file now.

    Raises:
        DataError: the file cannot be made.
    """
    try:
        with held(path, wait=0.0):
            return False
    except LockedError:
        return True
