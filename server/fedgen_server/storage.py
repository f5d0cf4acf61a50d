"""Files of a federation that two processes write: the server, and a command beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fedgen.errors import DataError
from fedgen.run.atomic import unreadable, write_atomic

M = TypeVar("M", bound=BaseModel)
A = TypeVar("A")


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
        raise unreadable(path, error) from error
    except ValidationError:
        raise DataError(f"{path} is damaged: restore it from a backup of the federation's folder.") from None


def write_model(path: Path, value: BaseModel) -> None:
    """Write a JSON file whole or not at all, readable by its owner only."""
    write_atomic(path, value.model_dump_json(indent=2).encode() + b"\n")
