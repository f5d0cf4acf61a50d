"""The folder of the cache: one folder of memory-mapped arrays for each set of decoded images, the oldest removed first.

It holds patients' images, so only its owner can enter it; names of files and patients are not in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgen.errors import DataError
from fedgen.run.atomic import unwritable

#: Raised when the form of the cache changes; what another version wrote is removed.
CACHE_VERSION = 1
#: Beyond so many bytes the sets that were used longest ago are removed.
MOST_BYTES = 20 * 2**30
HASHES = "hashes.sqlite"
_RECORD = "record.json"

Arrays = Mapping[str, NDArray[Any]]


def cache_folder() -> Path:
    """Where a person's runs keep decoded images: FEDGEN_CACHE, else fedgen in XDG_CACHE_HOME, else ~/.cache/fedgen.

    Raises:
        DataError: none of them is set and nobody knows the home folder.
    """
    own, base = os.environ.get("FEDGEN_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).absolute()
    try:
        return (Path(base) if base else Path.home() / ".cache").absolute() / "fedgen"
    except RuntimeError:
        raise DataError(
            "There is no home folder to keep decoded images in: set FEDGEN_CACHE to a folder that only you can read."
        ) from None


@dataclass(frozen=True)
class StoredSet:
    """One set of decoded images.

    Attributes:
        folder: its arrays and record.
        transform: how its images were made from their files.
        entries: key of each of its entries, in order.
        counts: images of each entry.
    """

    folder: Path
    transform: str
    entries: tuple[str, ...]
    counts: tuple[int, ...]


class CacheStore:
    """The sets in one folder."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, or make it for its owner alone.

        Raises:
            DataError: it cannot be made, or belongs to somebody else.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = folder.stat()
            if hasattr(os, "getuid") and status.st_uid != os.getuid():
                raise DataError(
                    f"{folder} belongs to another user, and decoded images must be readable by you alone: set "
                    "FEDGEN_CACHE to a folder of your own."
                )
            if stat.S_IMODE(status.st_mode) & 0o077:
                folder.chmod(0o700)
        except OSError as error:
            raise unwritable(folder, error) from error

    def sets(self, transform: str | None = None) -> Iterator[StoredSet]:
        """All sets that can be read, or those made in one way, the last used first."""
        for record in sorted(self.folder.glob(f"*/{_RECORD}"), key=_used, reverse=True):
            found = _described(record)
            if found is not None and transform in (None, found.transform):
                yield found

    def find(self, name: str) -> tuple[StoredSet, Arrays] | None:
        """The set of this name with its arrays, or None where it is absent or damaged; it counts as used now."""
        found = _described(self.folder / name / _RECORD)
        arrays = None if found is None else self.arrays(found)
        if found is None or arrays is None:
            return None
        # Somebody else may clear the cache meanwhile; what is mapped stays readable.
        with suppress(OSError):
            os.utime(found.folder / _RECORD)
        return found, arrays

    def arrays(self, stored: StoredSet) -> Arrays | None:
        """A set's arrays, mapped into memory and writable there alone; None where their checksums do not hold."""
        try:
            sums = json.loads((stored.folder / _RECORD).read_text(encoding="utf-8"))["sha256"]
            for name, expected in sums.items():
                if _sha256(stored.folder / f"{name}.npy") != expected:
                    return None
            return {
                name: np.load(stored.folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
                for name in sums
            }
        except (OSError, ValueError, KeyError, AttributeError):
            # A cache that cannot be read is no cache; the files themselves are still there.
            return None

    def write(
        self,
        name: str,
        transform: str,
        entries: tuple[str, ...],
        counts: tuple[int, ...],
        fill: Callable[[Path], None],
    ) -> None:
        """Write a set, whole or not at all, and remove the oldest ones beyond MOST_BYTES.

        Args:
            name: of the set.
            transform, entries, counts: see `StoredSet`.
            fill: writes the arrays into a folder, as `.npy` files.

        Raises:
            DataError: the disk is full or the folder not writable.
        """
        try:
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as temporary:
                new = Path(temporary) / name
                new.mkdir(mode=0o700)
                fill(new)
                sums = {path.stem: _sha256(path) for path in sorted(new.glob("*.npy"))}
                record = {
                    "version": CACHE_VERSION,
                    "transform": transform,
                    "entries": entries,
                    "counts": counts,
                    "sha256": sums,
                }
                (new / _RECORD).write_text(json.dumps(record) + "\n", encoding="ascii")
                _remove(self.folder / name)
                new.rename(self.folder / name)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self._prune(keep=name)

    def size(self) -> int:
        """Bytes of everything in it."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.is_file())

    def clear(self) -> None:
        """Remove every set and every remembered hash, and nothing that is not the cache's own.

        Raises:
            DataError: something in it cannot be removed.
        """
        try:
            for record in self.folder.glob(f"*/{_RECORD}"):
                _remove(record.parent)
            for left in self.folder.glob(".new-*"):
                _remove(left)
            (self.folder / HASHES).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _prune(self, keep: str) -> None:
        total = self.size()
        for record in sorted(self.folder.glob(f"*/{_RECORD}"), key=_used):
            current = _described(record) is not None
            if record.parent.name == keep or (current and total <= MOST_BYTES):
                continue
            total -= sum(path.stat().st_size for path in record.parent.iterdir())
            _remove(record.parent)


def _described(record: Path) -> StoredSet | None:
    try:
        value = json.loads(record.read_text(encoding="utf-8"))
        if value["version"] != CACHE_VERSION:
            return None
        return StoredSet(
            record.parent, value["transform"], tuple(value["entries"]), tuple(int(n) for n in value["counts"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _used(record: Path) -> float:
    try:
        return record.stat().st_mtime
    except OSError:
        return 0.0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
