"""Files of a federation that two processes write: the server, and a command beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fedgen.errors import DataError, FederationError, PrivacyRefusedError
from fedgen.run.directory import unwritable, write_atomic
from fedgen_privacy.lock import exclusive

M = TypeVar("M", bound=BaseModel)
A = TypeVar("A")


@contextlib.contextmanager
def locked(lock: Path, wait: float = 10.0) -> Iterator[None]:
    """Hold a federation's lock file for the block; not to be nested.

    Raises:
        FederationError: another process has held it for `wait` seconds.
        DataError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive(lock, wait))
        except PrivacyRefusedError:
            raise FederationError(
                f"Another fedgen-server has held {lock} for {wait:g} s: wait for it, or stop it, and try again."
            ) from None
        except OSError as error:
            raise unwritable(lock, error) from error
        yield


def read_model(path: Path, kind: type[M], absent: A) -> M | A:
    """The content of a JSON file, or `absent` where there is none.

    Raises:
        DataError: it cannot be read or is not of that kind.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return absent
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
    except ValidationError:
        raise DataError(f"{path} is damaged: restore it from a backup of the federation's folder.") from None


def write_model(path: Path, value: BaseModel) -> None:
    """Write a JSON file whole or not at all, readable by its owner only."""
    write_atomic(path, value.model_dump_json(indent=2).encode() + b"\n")
