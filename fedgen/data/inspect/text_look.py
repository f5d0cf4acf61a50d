"""Pictures of a folder searched for text: which are looked at, and in which files letters were found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import by_ending, decoder_for
from fedgen.data.decoders.volume import VolumeDecoder
from fedgen.data.index import SliceRange
from fedgen.data.inspect.burned_text import TextDetector


@dataclass(frozen=True)
class TextLook:
    """Where letters were looked for.

    Attributes:
        pictures: that were searched.
        files: that they are of.
        left: files that were not searched: slices of a series of which others were, and those that cannot be decoded.
        suspected: files with letters in a picture.
    """

    pictures: int
    files: int
    left: int
    suspected: tuple[str, ...]


def look_for_text(
    detector: TextDetector,
    folder: Path,
    files: Sequence[str],
    series: Mapping[str, str],
    progress: Callable[[int, int], None] | None = None,
) -> TextLook:
    """Search the first, the middle and the last file of each series of slices, and every other file with pictures.

    Of a file with several frames its first, its middle and its last are searched; of a volume its middle slice.

    Args:
        detector: of letters.
        folder: the folder.
        files: of it.
        series: of each DICOM file the series of slices that it is one of, or nothing of a file that stands alone.
        progress: told (files done, files in all).
    """
    pictured = [path for path in files if path in series or path.lower().endswith(tuple(by_ending()))]
    chosen = _chosen(pictured, series)
    pictures = searched = 0
    suspected = []
    for number, path in enumerate(chosen, start=1):
        try:
            found = _search(detector, folder / path)
        except UnreadableError:
            found = []
        pictures += len(found)
        searched += bool(found)
        if any(found):
            suspected.append(path)
        if progress is not None:
            progress(number, len(chosen))
    return TextLook(pictures, searched, len(pictured) - searched, tuple(suspected))


def _chosen(files: Sequence[str], series: Mapping[str, str]) -> list[str]:
    together: dict[str, list[str]] = {}
    for path in files:
        together.setdefault(series.get(path) or path, []).append(path)
    return [
        own[place] for own in together.values() for place in sorted({0, (len(own) - 1) // 2, len(own) - 1})
    ]


def _search(detector: TextDetector, path: Path) -> list[bool]:
    """Whether each picture that is looked at has letters."""
    decoder = decoder_for(path)
    header = decoder.header(path, 2)
    if header.depth is None:
        slices = None
    elif isinstance(decoder, VolumeDecoder):
        middle = header.depth // 2
        slices = SliceRange(header.axis, middle, middle + 1, 1)
    else:
        last = header.depth - 1
        slices = SliceRange(header.axis, 0, header.depth, max(1, -(-last // 2)))
    return [detector.suspects(picture) for picture in decoder.pixels(path, slices)]
