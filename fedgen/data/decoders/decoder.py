"""Image formats: one decoder a format, chosen by file ending, or by content where a file's name has none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedgen.data.index import SliceRange
from fedgen.task.image_spec import Spacing

Pixels = NDArray[np.float32]


class UnreadableError(Exception):
    """A file cannot be decoded; the text says why, and the caller says which file."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself without being decoded.

    Attributes:
        size: (height, width) of each 2D image.
        depth: number of slices or frames, or None for a 2D image.
        axis: array axis the depth lies on.
        spacing: mm between neighbours along each axis of `size`, or None where unknown.
        orientation: for each axis of `size` the side of the patient that it grows towards, of the pixels that
            `Decoder.pixels` gives, such as `PL`; empty where unknown (see `fedgen.task.image_spec`).
    """

    size: tuple[int, int]
    depth: int | None = None
    axis: int = 0
    spacing: Spacing | None = None
    orientation: str = ""


class Decoder(ABC):
    """Reads one file format; a module of this folder offers its own as `DECODER` (see `registry`)."""

    #: lower-case endings, with the dot; no other decoder may claim one of them
    supported_file_endings: ClassVar[tuple[str, ...]]

    def recognises(self, path: Path) -> bool:
        """Whether the first bytes of a file whose name has no ending are of this format.

        Raises:
            UnreadableError: the file is absent or may not be read.
        """
        return False

    @abstractmethod
    def header(self, path: Path, axis: int) -> Header:
        """Sizes of the file; volumes are to be cut along `axis`.

        Raises:
            UnreadableError: with the reason.
        """

    @abstractmethod
    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """The stored values at full depth, shape (n, H, W, channels), n = 1 for a 2D image.

        Raises:
            UnreadableError: with the reason.
        """
