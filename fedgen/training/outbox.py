"""A round's result on the site's disk, before it leaves.

Local steps use fresh secret randomness, so running a round twice would be two releases. The result is
therefore written down first; asked again for the same round of the same model, the site sends the very
same bytes, and a charged row of the ledger yields at most one update.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fedgen.run.atomic import write_atomic

KEEP = 2


@dataclass(frozen=True)
class RoundResult:
    """What a round of local steps produced.

    Attributes:
        update: (P,) float32.
        losses: objective to (mean, noise standard deviation).
        optimizer: moments for the next round; they never leave the site.
    """

    update: Tensor
    losses: dict[str, tuple[float, float]]
    optimizer: dict[str, Tensor]


class Outbox:
    """Results by round, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, round: int) -> Path:
        return self._folder / f"round-{round:05d}.safetensors"

    def put(self, round: int, key: Mapping[str, str], result: RoundResult) -> None:
        """Write a result; older ones than the last two are removed."""
        metadata = {
            **key,
            "losses": json.dumps(result.losses),
        }
        tensors = {"update": result.update, **{f"optimizer/{n}": t for n, t in result.optimizer.items()}}
        write_atomic(self._path(round), save(tensors, metadata=metadata))
        for old in sorted(self._folder.glob("round-*.safetensors"))[:-KEEP]:
            if old != self._path(round):
                old.unlink(missing_ok=True)

    def holds(self, round: int) -> bool:
        """Whether a result of `round` was written and not yet removed, readable or not."""
        return self._path(round).exists()

    @property
    def begun(self) -> bool:
        """Whether a result of any round was ever written here; of old ones the last stay."""
        return any(self._folder.glob("round-*.safetensors"))

    def get(self, round: int, key: Mapping[str, str]) -> RoundResult | None:
        """The result of `round` if it was made under the same key (study and model hash), else None."""
        path = self._path(round)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as handle:
                metadata = handle.metadata() or {}
                if any(metadata.get(name) != value for name, value in key.items()):
                    return None
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        except (SafetensorError, OSError):
            # Written atomically, so a damaged file was damaged later, when its result may have left already.
            return None
        losses = {name: (float(v), float(s)) for name, (v, s) in json.loads(metadata["losses"]).items()}
        return RoundResult(
            update=tensors["update"],
            losses=losses,
            optimizer={n.removeprefix("optimizer/"): t for n, t in tensors.items() if n != "update"},
        )

    def optimizer_before(self, round: int, study_sha256: str) -> dict[str, Tensor]:
        """The moments of the latest result before `round` of the same study; empty where there is none."""
        earlier = [p for p in sorted(self._folder.glob("round-*.safetensors")) if p < self._path(round)]
        for path in reversed(earlier):
            number = int(path.stem.removeprefix("round-"))
            result = self.get(number, {"study": study_sha256})
            if result is not None:
                return result.optimizer
        return {}
