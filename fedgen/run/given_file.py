"""Weights that others trained, which a study names by their hash and each machine is given once, in one folder."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from fedgen.errors import DataError
from fedgen.run.tensors import NamedFile


def weights_path(sha256: str) -> Path:
    """Where a machine keeps the weights of that hash: FEDGEN_WEIGHTS, else ~/.local/share/fedgen/weights."""
    own, base = os.environ.get("FEDGEN_WEIGHTS"), os.environ.get("XDG_DATA_HOME")
    if own:
        folder = Path(own).absolute()
    else:
        folder = (Path(base) if base else Path("~/.local/share").expanduser()).absolute() / "fedgen/weights"
    return folder / f"{sha256}.safetensors"


def require_weights(sha256: str) -> Path:
    """The path of the weights of that hash, where they are.

    Raises:
        DataError: they are not on this machine.
    """
    path = weights_path(sha256)
    if not path.is_file():
        raise DataError(
            f"The weights of sha256 {sha256} are not on this machine: put their file, named by its sha256, into "
            f"{path.parent}."
        )
    return path


def given_tensors(file: NamedFile, sha256: str) -> dict[str, Tensor]:
    """The tensors in the file of that hash.

    Args:
        file: what kind it is.
        sha256: of the file.

    Raises:
        DataError: it is not there, or no safetensors.
        StudyError: it is another.
    """
    path = require_weights(sha256)
    return file.tensors(file.read(sha256, path), path)
