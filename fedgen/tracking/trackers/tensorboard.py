"""TensorBoard: event files in the run's folder, which `tensorboard --logdir runs` shows beside those of other runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import tensorboard as tensorboard
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from fedgen.tracking.contract import Tracked, Tracker

#: In the run's folder.
FOLDER = "tensorboard"


class TensorboardTracker(Tracker):
    """An event file. A run that is gone on with writes another one, which begins anew and replaces what was told."""

    def __init__(self, writer: SummaryWriter, folder: Path) -> None:
        self._writer, self._folder = writer, folder

    @classmethod
    def open(cls, run: Tracked, where: str | None) -> Self:
        """In `where`/NAME, or in the run's own folder."""
        folder = run.folder / FOLDER if where is None else Path(where) / run.name
        writer = SummaryWriter(str(folder), purge_step=0, flush_secs=5)
        writer.add_text("study", "\n".join(f"    {key}: {value}" for key, value in run.parameters.items()))
        return cls(writer, folder)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, png: bytes, step: int) -> None:
        """An image."""
        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def file(self, name: str, content: bytes) -> None:
        """Nothing: TensorBoard keeps no files, and these are in the run's folder."""

    def close(self, status: str) -> None:
        """Flush the file."""
        self._writer.add_text("status", status)
        self._writer.close()
