"""Checkpoints of the global model: safetensors and JSON with a sha256, never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fedgen.errors import DataError
from fedgen.run.atomic import write_atomic

KEEP = 3
SERVER = "server/"


@dataclass(frozen=True)
class Checkpoint:
    """The coordinator's state after a round.

    Attributes:
        round: last finished round, 0 before the first.
        model: (P,) float32, the model the next round starts from.
        ema: (P,) float32, its moving average over rounds; what is sampled from.
        study_sha256: of the study it belongs to.
        server: state of the coordinator's optimizers by name; empty where it has none.
    """

    round: int
    model: Tensor
    ema: Tensor
    study_sha256: str
    server: Mapping[str, Tensor] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; all but the newest three are removed.

    Raises:
        DataError: the disk is full or the folder is not writable; older checkpoints stay intact.
    """
    stem = f"round-{checkpoint.round:05d}"
    server = {f"{SERVER}{name}": tensor for name, tensor in checkpoint.server.items()}
    content = save({"model": checkpoint.model, "ema": checkpoint.ema, **server})
    description = {
        "round": checkpoint.round,
        "study_sha256": checkpoint.study_sha256,
        "parameters": checkpoint.model.shape[0],
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomic(folder / f"{stem}.safetensors", content)
    # The JSON comes last: a checkpoint without it was not finished and does not count.
    write_atomic(folder / f"{stem}.json", (json.dumps(description, indent=2) + "\n").encode())
    for old in sorted(folder.glob("round-*.json"))[:-KEEP]:
        old.with_suffix(".safetensors").unlink(missing_ok=True)
        old.unlink(missing_ok=True)


def latest_checkpoint(folder: Path, study_sha256: str) -> Checkpoint | None:
    """The newest finished checkpoint of this study, or None.

    Raises:
        DataError: a checkpoint belongs to another study, or its content does not have its hash.
    """
    for path in sorted(folder.glob("round-*.json"), reverse=True):
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            content = path.with_suffix(".safetensors").read_bytes()
            digest, study = description["sha256"], description["study_sha256"]
            round_number = int(description["round"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"The checkpoint {path} is damaged ({error}): remove it to use the one before."
            ) from None
        if study != study_sha256:
            raise DataError(f"The checkpoint {path} belongs to another study: start a new run.")
        if hashlib.sha256(content).hexdigest() != digest:
            raise DataError(
                f"The checkpoint {path} does not have its recorded hash: remove it to use the one before."
            )
        try:
            tensors = load(content)
        except SafetensorError as error:
            raise DataError(
                f"The checkpoint {path} is damaged ({error}): remove it to use the one before."
            ) from None
        server = {n.removeprefix(SERVER): t for n, t in tensors.items() if n.startswith(SERVER)}
        return Checkpoint(round_number, tensors["model"], tensors["ema"], study, server)
    return None
