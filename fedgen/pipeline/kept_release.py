"""Synthetic images that a site keeps of the release it was asked about, so that its people can read them afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.protocol.messages import Assess, Question
from fedgen.run.atomic import write_atomic

FILE = "shown.safetensors"
_QUESTION = "question"


def keep_release(folder: Path, task: Question, most: int, seed: int) -> None:
    """Keep at most so many images of each class of a release that is not kept yet; of a model nothing.

    Raises:
        DataError: the disk is full or the folder is not writable.
    """
    path = folder / FILE
    if not isinstance(task, Assess) or path.exists():
        return
    rng = np.random.default_rng(seed)
    labels = task.labels.numpy()
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:most] for label in np.unique(labels)]
    kept = torch.from_numpy(np.concatenate(chosen))
    tensors = {"images": task.images[kept].half().contiguous(), "labels": task.labels[kept].contiguous()}
    write_atomic(path, save(tensors, metadata={_QUESTION: task.sha256}))


def kept_release(folder: Path) -> tuple[str, LabelledImages]:
    """sha256 of the question that was asked, and the images that were kept of it.

    Raises:
        DataError: the site was not asked about images yet, or the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(
            "There is no release to read yet: this site was not asked to assess one of this study."
        )
    try:
        with safe_open(path, framework="pt") as file:
            question = (file.metadata() or {})[_QUESTION]
            return question, LabelledImages(file.get_tensor("images").float(), file.get_tensor("labels"))
    except (SafetensorError, OSError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}): restore it from a backup.") from None
