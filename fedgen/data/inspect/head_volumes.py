"""The volumes of a folder in which a face could be, of any format, each read whole and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import by_ending, decoder_for
from fedgen.data.decoders.volume import VolumeDecoder
from fedgen.data.index import IndexEntry, SliceRange
from fedgen.data.inspect.faces import Face, judged
from fedgen.data.layouts.dicom import LAYOUT
from fedgen.data.layouts.layout import Request
from fedgen.data.read import read_stored
from fedgen.errors import DataError
from fedgen.study.data import DataSection
from fedgen.task.image_spec import known_spacing

#: Modalities whose volumes show skin.
_SLICED = ("CT", "MR", "PT")
#: Fewer slices show no face.
_FEWEST = 8


@dataclass(frozen=True)
class Faces:
    """Volumes by what their shape says.

    Attributes:
        counts: by `Face`.
        suspected: the files with a face; the first of a series.
    """

    counts: Counter[Face]
    suspected: tuple[str, ...]


def faces_in(
    folder: Path,
    files: Sequence[str],
    dicom: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> Faces:
    """Judge every volume of a folder, one at a time.

    Args:
        files: of the folder.
        dicom: those of them that are DICOM.
        progress: told (volumes done, volumes in all).
    """
    single = set(files) - set(dicom)
    volumes: list[str | IndexEntry] = [path for path in sorted(single) if _volume_file(folder / path)]
    volumes += _series(folder, dicom)
    counts: Counter[Face] = Counter()
    suspected = []
    for number, volume in enumerate(volumes, start=1):
        try:
            face = _of_file(folder, volume) if isinstance(volume, str) else _of_series(folder, volume)
        except UnreadableError:
            face = Face.NOT_JUDGED
        if face is not None:
            counts[face] += 1
        if face is Face.SUSPECTED:
            suspected.append(volume if isinstance(volume, str) else volume.path)
        if progress is not None:
            progress(number, len(volumes))
    return Faces(counts, tuple(suspected))


def _volume_file(path: Path) -> bool:
    name = path.name.lower()
    endings = [ending for ending in by_ending() if name.endswith(ending)]
    return bool(endings) and isinstance(by_ending()[max(endings, key=len)], VolumeDecoder)


def _series(folder: Path, dicom: Sequence[str]) -> Iterator[IndexEntry]:
    data = DataSection(labels=("any",), volume=0)
    try:
        scan = LAYOUT.scan(Request(folder, tuple(dicom), data, None))
    except DataError:
        return
    for entry in scan.entries:
        if entry.modality in _SLICED and entry.slices is not None and entry.slices.depth >= _FEWEST:
            yield entry


def _of_file(folder: Path, path: str) -> Face | None:
    """None of a picture, which has no face to be rendered."""
    decoder = decoder_for(folder / path)
    header = decoder.header(folder / path, 2)
    if header.depth is None or header.depth < _FEWEST:
        return None
    if header.orientation + header.depth_orientation != "PRS" or header.spacing is None:
        return Face.NOT_JUDGED
    if header.depth_spacing is None:
        return Face.NOT_JUDGED
    volume = decoder.pixels(folder / path, SliceRange(2, 0, header.depth, 1)).mean(axis=-1)
    # Of two values it is a mask.
    if ((volume == volume.min()) | (volume == volume.max())).all():
        return None
    high, wide = header.spacing
    return judged(volume, (header.depth_spacing, high, wide))


def _of_series(folder: Path, entry: IndexEntry) -> Face:
    chosen = entry.slices
    if chosen is None or entry.orientation != "PR" or entry.affine is None:
        return Face.NOT_JUDGED
    sides = known_spacing(tuple(np.linalg.norm(np.array(entry.affine)[:, :3], axis=0)))
    if sides is None:
        return Face.NOT_JUDGED
    whole = replace(entry, slices=replace(chosen, start=0, stop=chosen.depth, step=1))
    pixels = read_stored(folder, whole).mean(axis=-1)
    # Later slices may lie below: what the affine says of its first column.
    up = np.array(entry.affine)[2, 0] > 0
    return judged(pixels if up else pixels[::-1], (sides[0], sides[1], sides[2]))
