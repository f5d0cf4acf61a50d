"""Image formats: one decoder a format, chosen by file ending, or by content where a file's name has none."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.guard import UnreadableError, guard, require_file, require_plausible
from fedgen.data.decoders.stored_mask import StoredMask, one_channel
from fedgen.data.findings import Note
from fedgen.data.index import Affine, SliceRange
from fedgen.task.image_spec import Spacing

__all__ = ["Decoder", "Header", "Pixels", "UnreadableError"]

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Header:
    """What a file says of itself without being decoded.

    Attributes:
        size: (height, width) of each 2D image.
        depth: number of slices or frames, or None for a 2D image.
        axis: array axis the depth lies on.
        spacing: mm between neighbours along each axis of `size`, or None where unknown.
        aspect: height of a pixel over its width, where the file says that but no spacing; else None.
        orientation: for each axis of `size` the side of the patient that it grows towards, of the pixels that
            `Decoder.pixels` gives, such as `PR`; empty where unknown (see `fedgen.task.image_spec`).
        stored_orientation: the same of rows and columns as the file stores them, where `pixels` turns them; else empty.
        depth_spacing: mm between neighbouring slices, or None where unknown.
        depth_orientation: side of the patient that later slices lie on, such as `S`; empty where unknown.
        volumes: how many volumes of `depth` slices the file holds, such as echoes, times or diffusion directions.
        affine: rows of the matrix from (slice, row, column, 1) of all slices along `axis`, as `pixels` gives them, to
            mm in the patient (to the right, to anterior, to superior); None where it is not known.
        companions: names of the further files beside this one that its pixels lie in, such as the .img of a .hdr.
        notes: what a person should know of this file.
    """

    size: tuple[int, int]
    depth: int | None = None
    axis: int = 0
    spacing: Spacing | None = None
    orientation: str = ""
    stored_orientation: str = ""
    aspect: float | None = None
    depth_spacing: float | None = None
    depth_orientation: str = ""
    volumes: int = 1
    affine: Affine | None = None
    companions: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def pixel_sides(self) -> Spacing | None:
        """Lengths of a pixel's sides along each axis of `size`, in whatever unit; None where they count as equal."""
        return self.spacing if self.spacing is not None or self.aspect is None else (self.aspect, 1.0)


class Decoder(ABC):
    """Reads one file format; a module of this folder offers its own as `DECODER` (see `registry`)."""

    #: lower-case endings, with the dot; no other decoder may claim one of them
    supported_file_endings: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **named: Any) -> None:
        """Put every way into the decoder behind the guard, so that no format can forget it."""
        super().__init_subclass__(**named)
        for name in ("recognises", "header", "pixels", "series", "mask"):
            if name in vars(cls):
                setattr(cls, name, _behind_guard(vars(cls)[name]))

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

    def series(self, paths: Sequence[Path], slices: SliceRange) -> Pixels:
        """As `pixels`, of a volume whose slices lie in files of their own, in the order of `paths`.

        Raises:
            UnreadableError: with the reason; formats that hold a volume in one file have none in several.
        """
        raise UnreadableError(f"is one of {len(paths)} files of a volume, which its format does not know")

    def mask(self, path: Path, axis: int) -> StoredMask:
        """All slices of a mask, cut along `axis`.

        Raises:
            UnreadableError: with the reason; several volumes among them.
        """
        header = self.header(path, axis)
        if header.volumes > 1:
            raise UnreadableError(
                f"holds {header.volumes} volumes, but a mask is one: save each as its own file"
            )
        whole = None if header.depth is None else SliceRange(header.axis, 0, header.depth, 1)
        return StoredMask(one_channel(self.pixels(path, whole), exact=True), header.affine)


def _behind_guard(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def entered(self: Decoder, path: Path | Sequence[Path], *given: Any, **named: Any) -> Any:
        for each in (path,) if isinstance(path, Path) else path:
            require_file(each)
        with guard():
            result = method(self, path, *given, **named)
            if isinstance(result, Header) and isinstance(path, Path):
                require_plausible(path, *result.size, result.depth or 1)
        return result

    return entered
