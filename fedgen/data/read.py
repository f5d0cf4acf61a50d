"""Decode an index entry: the one place where files become arrays, used by training and inspection alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from fedgen.data.decoders.decoder import Pixels, UnreadableError
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.index import IndexEntry
from fedgen.data.pixels import to_channels
from fedgen.errors import DataError
from fedgen.study.data import DataSection

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
#: Files a thread takes at once.
_CHUNK = 16


def read_stored(folder: Path, entry: IndexEntry) -> Pixels:
    """The entry's stored values, (n, H, W, c) at full depth, or (1, D, H, W, c) of a volume that is one image.

    Raises:
        UnreadableError: with the reason.
    """
    path = folder / entry.path
    decoder = decoder_for(path)
    # The slices of a volume may lie in files of their own; a 2D image has none, however many files hold it.
    if len(entry.files) > 1 and entry.slices is not None:
        pixels = decoder.series([folder / file for file in entry.files], entry.slices)
    else:
        pixels = decoder.pixels(path, entry.slices)
    if len(entry.size) == 3:
        pixels = pixels[np.newaxis]
    if pixels.shape[:-1] != (entry.n_images, *entry.size):
        raise UnreadableError(
            f"holds {_by(pixels.shape[:-1])} where the index says {_by((entry.n_images, *entry.size))}: "
            "index the folder again"
        )
    return pixels


def read_images(folder: Path, entry: IndexEntry, data: DataSection) -> Pixels:
    """The entry's stored values in the study's number of channels, (n, H, W, channels).

    Where slices come with their neighbours, those are further channels, from the first slice to the last.

    Raises:
        UnreadableError: the file is damaged, has NaN, is of the other kind of colour, or has no neighbours.
    """
    around = data.slices.neighbours
    if not around:
        return to_channels(read_stored(folder, entry), data.channels)
    chosen = entry.slices
    if chosen is None:
        raise UnreadableError("is a single image, but data.slices.neighbours asks for the slices beside it")
    first, last = chosen.start, chosen.start + (chosen.n - 1) * chosen.step
    start, stop = max(first - around, 0), min(last + around + 1, max(chosen.depth, last + 1))
    read = replace(entry, slices=replace(chosen, start=start, stop=stop, step=1))
    pixels = to_channels(read_stored(folder, read), data.channels)
    places = np.arange(chosen.start, last + 1, chosen.step)[:, None] + np.arange(-around, around + 1)
    # (n, neighbours, H, W, c) to (n, H, W, neighbours * c).
    beside = np.moveaxis(pixels[places.clip(start, stop - 1) - start], 1, 3)
    return beside.reshape(*beside.shape[:3], -1)


def data_error(path: str, error: UnreadableError) -> DataError:
    """The sentence about a file that cannot be decoded."""
    text = str(error)
    hint = "" if ":" in text else ": repair it, or remove it from the folder and the table"
    return DataError(f"{path} {text}{hint}.")


def parallel(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """`map` over threads, results in order.

    Decoders and numpy release the interpreter's lock on large images; small ones are handed out in chunks,
    so that threads at least cost nothing there.
    """
    if len(items) <= _CHUNK:
        yield from map(function, items)
        return

    def chunk(start: int) -> list[_Result]:
        return [function(item) for item in items[start : start + _CHUNK]]

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for results in pool.map(chunk, range(0, len(items), _CHUNK)):
            yield from results


def _by(sides: Iterable[int]) -> str:
    return " x ".join(str(side) for side in sides)
