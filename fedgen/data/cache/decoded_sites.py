"""Decode sites once: what was decoded before, in whatever run, is mapped into memory, and only the rest is decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fedgen.data.cache.hashes import file_hashes, file_state
from fedgen.data.cache.store import HASHES, Arrays, CacheStore
from fedgen.data.decode import DecodedSite, decode_site
from fedgen.data.decoders.registry import nameless
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.two_files import other_halves
from fedgen.errors import DataError
from fedgen.study.data import DataSection

#: The options that choose and split images, but change nothing in any of them.
_WITHOUT_EFFECT = {
    "labels", "other_labels", "one_class_sites", "unused_share", "images_per_patient", "columns", "split", "phantom",
    "modality", "patient_rule", "contrasts", "required", "paired", "covariates", "embedding_size", "mask_classes",
    "unmasked",
}  # fmt: skip
#: What is known of an entry's patient and changes no pixel.
_IDENTITY = (
    "patient",
    "site",
    "label",
    "modality",
    "series",
    "study",
    "files",
    "mask",
    "covariates",
    "embedding",
)
_LIBRARIES = (
    "numpy", "scipy", "pillow", "pydicom", "nibabel", "highdicom", "pylibjpeg", "pyjpegls", "tifffile",
)  # fmt: skip
#: Images are decoded so many at a time, and on disk before the next ones.
_CHUNK = 256
_PRINTS = "fingerprints-"

Progress = Callable[[int, int], None]


def decode_sites(
    folder: Path, index: PatientIndex, data: DataSection, cache: Path, progress: Progress | None = None
) -> dict[str, DecodedSite]:
    """Decode each site of `index`, or map what the cache has of it.

    An image is taken from the cache where the bytes of its files, everything in `data` that changes an image, and the
    program that decodes are the same, whatever the folder, run or study; a cached set whose checksum does not hold is
    decoded anew.

    Args:
        folder: the folder that was indexed.
        index: its index.
        data: the study's data section.
        cache: folder of the cache; it holds patients' images and belongs to their site.
        progress: told (images done, images in all).

    Returns:
        One `DecodedSite` a site, in alphabetical order.

    Raises:
        DataError: a file cannot be used or changed while it was read, or the cache cannot be written.
    """
    store = CacheStore(cache)
    sites, done, total = {}, 0, index.n_images
    for site in index.sites:
        entries = index.at(site)

        def tell(images: int, before: int = done) -> None:
            if progress is not None:
                progress(before + images, total)

        sites[site] = _site(store, folder, entries, data, tell)
        done += sum(entry.n_images for entry in entries)
        tell(0, done)
    return sites


def entry_keys(folder: Path, entries: Sequence[IndexEntry], data: DataSection, memory: Path) -> list[str]:
    """SHA-256 of everything that an entry's decoded images depend on; no name of a person or file is in it.

    Args:
        folder: the folder that was indexed.
        entries: of one site.
        data: the study's data section.
        memory: where hashes of files are remembered.

    Raises:
        DataError: an indexed file is gone.
    """
    masked = data.columns.mask is not None
    names = [
        (
            *entry.files,
            *((entry.mask, *other_halves(folder, entry.mask)) if masked and entry.mask else ()),
        )
        for entry in entries
    ]
    paths = list(dict.fromkeys(name for files in names for name in files))
    hashes = dict(zip(paths, file_hashes([folder / path for path in paths], memory), strict=True))
    way = transform(data)
    keys = []
    for entry, files in zip(entries, names, strict=True):
        known = {key: value for key, value in vars(entry).items() if key not in _IDENTITY}
        # The ending says by which decoder the bytes are read.
        content = [[_ending(name), hashes[name].hex()] for name in files]
        text = json.dumps([way, known, len(entry.files), content], sort_keys=True, default=asdict)
        keys.append(hashlib.sha256(text.encode()).hexdigest())
    return keys


def transform(data: DataSection) -> str:
    """SHA-256 of how images are made from files: the options, the program's own code and the libraries that decode."""
    options = data.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    text = json.dumps([options, data.columns.mask is not None, _program()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _program() -> str:
    # The code itself, all that may touch an image, rather than a number that somebody has to remember to raise.
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(json.dumps([version(library) for library in _LIBRARIES]).encode())
    return digest.hexdigest()


def _site(
    store: CacheStore,
    folder: Path,
    entries: Sequence[IndexEntry],
    data: DataSection,
    tell: Callable[[int], None],
) -> DecodedSite:
    keys = tuple(entry_keys(folder, entries, data, store.folder / HASHES))
    counts = tuple(entry.n_images for entry in entries)
    way = transform(data)
    name = hashlib.sha256(json.dumps([way, keys, counts]).encode()).hexdigest()
    found = store.find(name)
    if found is None:

        def fill(new: Path) -> None:
            with _Writer(new, sum(counts)) as writer:
                _reuse(store, way, keys, counts, writer)
                _decode_rest(folder, entries, data, counts, writer, tell)

        store.write(name, way, keys, counts, fill)
        found = store.find(name)
    if found is None:
        raise DataError(f"{store.folder} lost what was just written: check its disk, and run again.")
    return _rebuilt(found[1], counts)


def _reuse(
    store: CacheStore, way: str, keys: tuple[str, ...], counts: tuple[int, ...], writer: _Writer
) -> None:
    """Copy the images that other sets have."""
    starts = _starts(counts)
    wanted: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        wanted.setdefault(key, []).append(number)
    for stored in store.sets(way):
        shared = [place for place, key in enumerate(stored.entries) if key in wanted]
        arrays = store.arrays(stored) if shared else None
        if arrays is None:
            continue
        places = _starts(stored.counts)
        for place in shared:
            for number in wanted.pop(stored.entries[place], ()):
                rows = slice(places[place], places[place] + stored.counts[place])
                writer.put(starts[number], {name: array[rows] for name, array in arrays.items()})
        if not wanted:
            return


def _decode_rest(
    folder: Path,
    entries: Sequence[IndexEntry],
    data: DataSection,
    counts: tuple[int, ...],
    writer: _Writer,
    tell: Callable[[int], None],
) -> None:
    starts = _starts(counts)
    rest = [number for number in range(len(entries)) if not writer.written[starts[number]]]
    done = sum(counts) - sum(counts[number] for number in rest)
    tell(done)
    for numbers in _chunks(rest, counts):
        chosen = [entries[number] for number in numbers]
        paths = [folder / name for entry in chosen for name in entry.files]
        before = [file_state(path) for path in paths]
        arrays = _flat(decode_site(folder, chosen, data))
        for path, state in zip(paths, before, strict=True):
            if file_state(path) != state:
                raise DataError(f"{path} changed while it was read: run again when the folder is at rest.")
        at = 0
        for number in numbers:
            rows = slice(at, at + counts[number])
            writer.put(starts[number], {name: array[rows] for name, array in arrays.items()})
            at += counts[number]
        done += at
        tell(done)


class _Writer:
    """Arrays of a set as .npy files, written through and never held: memory stays flat however many images it has."""

    def __init__(self, folder: Path, n: int) -> None:
        self.written = np.zeros(n, bool)
        self._folder, self._n = folder, n
        self._data: dict[str, tuple[BinaryIO, int]] = {}

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *left: object) -> None:
        for file, _ in self._data.values():
            file.close()

    def put(self, start: int, rows: Arrays) -> None:
        """Write the images from `start` on; what is never written is 0, as the mask of an image without one."""
        for name, values in rows.items():
            file, data = self._opened(name, values)
            content = np.ascontiguousarray(values)
            file.seek(data + start * (content.nbytes // len(content)))
            file.write(content.tobytes())
            self.written[start : start + len(content)] = True

    def _opened(self, name: str, like: NDArray[Any]) -> tuple[BinaryIO, int]:
        if name not in self._data:
            shape = (self._n, *like.shape[1:])
            file = (self._folder / f"{name}.npy").open("xb")
            described = {"descr": like.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, described)
            data = file.tell()
            file.truncate(data + int(np.prod(shape)) * like.dtype.itemsize)
            self._data[name] = file, data
        return self._data[name]


def _flat(site: DecodedSite) -> dict[str, NDArray[Any]]:
    """Arrays by name; the entries are numbered by who asks for them."""
    arrays = {field.name: getattr(site, field.name) for field in fields(site)}
    prints = arrays.pop("fingerprints")
    del arrays["entries"]
    flat = {name: array for name, array in arrays.items() if array is not None}
    return flat | {_PRINTS + field.name: getattr(prints, field.name) for field in fields(Fingerprints)}


def _rebuilt(arrays: Arrays, counts: tuple[int, ...]) -> DecodedSite:
    named: dict[str, Any] = {
        field.name: arrays.get(field.name)
        for field in fields(DecodedSite)
        if field.name not in ("fingerprints", "entries")
    }
    prints = Fingerprints(**{field.name: arrays[_PRINTS + field.name] for field in fields(Fingerprints)})
    return DecodedSite(entries=np.repeat(np.arange(len(counts)), counts), fingerprints=prints, **named)


def _starts(counts: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(counts).tolist()]


def _chunks(numbers: Sequence[int], counts: Sequence[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for number in numbers:
        chunk.append(number)
        if sum(counts[each] for each in chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _ending(name: str) -> str:
    path = PurePosixPath(name)
    return "" if nameless(path) else "".join(path.suffixes[-2:]).lower()
