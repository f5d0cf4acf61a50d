"""Embeddings of images or of their texts, from .npy files that nothing is executed from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedgen.data.index import IndexEntry
from fedgen.errors import DataError
from fedgen.study.data import DataSection


def read_embeddings(folder: Path, entries: Sequence[IndexEntry], data: DataSection) -> Tensor:
    """(entries, data.embedding_size) float32, each of L2 norm 1.

    Raises:
        DataError: a file is absent or damaged, or holds another number of numbers, or no direction.
    """
    assert data.embedding_size is not None
    vectors = [_vector(folder, str(entry.embedding), data.embedding_size) for entry in entries]
    return torch.from_numpy(np.stack(vectors))


def _vector(folder: Path, name: str, size: int) -> np.ndarray:
    try:
        found = np.load(folder / name, mmap_mode=None, allow_pickle=False)
        vector = np.asarray(found, np.float64).reshape(-1)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(
            f"{name} cannot be read as an embedding ({error}): write it with numpy.save."
        ) from None
    if len(vector) != size:
        raise DataError(
            f"{name} holds {len(vector)} numbers but data.embedding_size is {size}: correct one of them."
        )
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0:
        raise DataError(
            f"{name} has no direction (its L2 norm is {norm:g}): repair it, or leave the image out."
        )
    return (vector / norm).astype(np.float32)
