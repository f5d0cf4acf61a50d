"""A release as a folder and as one zip archive: written so that equal files are equal bytes, read without trust.

Whatever a name, a link or an archive's directory could be used for is refused before anything is opened: paths that
leave the folder, links, files of a kind that are no files, and two entries of one name.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fedgen.errors import DataError
from fedgen.release.release_manifest import PATH_PATTERN
from fedgen.run.atomic import unreadable, unwritable

_PATH = re.compile(PATH_PATTERN)
_CHUNK = 2**20
#: Of every entry: a zip cannot leave it out, and 1980 is the earliest that it knows.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = stat.S_IFREG | 0o644
#: What reading an archive that was tampered with may raise, its flags for encryption and the like among it.
_UNREADABLE = (OSError, zipfile.BadZipFile, EOFError, ValueError, RuntimeError, OverflowError, struct.error)
#: More entries than any release has.
_MOST_ENTRIES = 2_000_000


class ReleaseFiles(ABC):
    """The files of a release, read only.

    Attributes:
        path: of the folder or the archive.
        names: paths inside, with forward slashes, sorted.
    """

    path: Path
    names: tuple[str, ...]

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """One file, to be closed by whoever reads it."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of one file."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """Its content, piece by piece.

        Raises:
            DataError: it cannot be read.
        """
        try:
            with self.open(name) as file:
                while piece := file.read(_CHUNK):
                    yield piece
        except _UNREADABLE as error:
            raise DataError(f"{name} of {self.path} cannot be read ({error}).") from None

    def read(self, name: str) -> bytes:
        """Its whole content."""
        return b"".join(self.chunks(name))

    def hashed(self, name: str) -> tuple[str, int]:
        """SHA-256 (hex) and number of bytes."""
        digest, size = hashlib.sha256(), 0
        for piece in self.chunks(name):
            digest.update(piece)
            size += len(piece)
        return digest.hexdigest(), size


class FolderFiles(ReleaseFiles):
    """A release in a folder.

    Raises:
        DataError: there is a link, an empty folder, something that is no file, or a name that no release has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = tuple(sorted(self._walk(path, "")))

    def _walk(self, folder: Path, prefix: str) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise unreadable(folder, error) from None
        if prefix and not entries:
            raise DataError(f"{prefix!r} is an empty folder, which no release has: it was added.")
        for entry in entries:
            name = f"{prefix}{entry.name}"
            _check_name(name)
            if entry.is_symlink():
                raise DataError(f"{name!r} is a link, which no release has: it was added.")
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                yield name
            else:
                raise DataError(f"{name!r} is neither a file nor a folder: it was added.")

    def open(self, name: str) -> IO[bytes]:
        """See `ReleaseFiles.open`."""
        # Not through a link that has taken its place since.
        return os.fdopen(os.open(self.path / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")

    def size(self, name: str) -> int:
        """See `ReleaseFiles.size`."""
        return (self.path / name).lstat().st_size


class ZippedFiles(ReleaseFiles):
    """A release in a zip archive, all below one folder that bears its name.

    Raises:
        DataError: it is no such archive, or not the one that its files make, byte by byte.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
            infos = self._zip.infolist()
        except _UNREADABLE as error:
            raise DataError(f"{path} is no zip archive that can be read ({error}).") from None
        self.root = _root(path, infos)
        prefix = f"{self.root}/"
        self._infos = {info.filename.removeprefix(prefix): info for info in infos}
        self.names = tuple(sorted(self._infos))
        self._require_canonical()

    def open(self, name: str) -> IO[bytes]:
        """See `ReleaseFiles.open`."""
        return self._zip.open(self._infos[name])

    def size(self, name: str) -> int:
        """See `ReleaseFiles.size`."""
        return self._infos[name].file_size

    def _require_canonical(self) -> None:
        """Refuse bytes that are in no file: before, between and behind entries, and in what describes them."""
        with tempfile.TemporaryFile() as again:
            _pack(again, self.root, self)
            again.seek(0)
            try:
                with self.path.open("rb") as here:
                    same = _equal(here, again)
            except OSError as error:
                raise unreadable(self.path, error) from None
        if not same:
            raise DataError(
                f"{self.path} is not the archive that its files make: it was changed or packed anew."
            )


def open_files(path: Path) -> ReleaseFiles:
    """The release in a folder or a zip archive.

    Raises:
        DataError: it is neither, or see `FolderFiles` and `ZippedFiles`.
    """
    if path.is_dir():
        return FolderFiles(path)
    if path.is_file():
        return ZippedFiles(path)
    raise DataError(f"{path} is neither a folder nor a zip archive: name a release.")


def write_zip(path: Path, root: str, files: ReleaseFiles) -> None:
    """Pack a release; equal files give equal bytes, on any machine.

    Raises:
        DataError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as out:
            _pack(out, root, files)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def _check_name(name: str) -> None:
    if not _PATH.fullmatch(name) or len(name) > 512:
        raise DataError(f"{name[:200]!r} is a path that no release has: it was added or renamed.")


def _root(path: Path, infos: list[zipfile.ZipInfo]) -> str:
    if not 0 < len(infos) <= _MOST_ENTRIES:
        raise DataError(f"{path} holds {len(infos)} entries, which no release does.")
    seen: set[str] = set()
    for info in infos:
        _check_name(info.filename)
        if info.filename.casefold() in seen:
            raise DataError(f"{info.filename!r} is in {path} twice: what is in it depends on who reads it.")
        seen.add(info.filename.casefold())
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise DataError(f"{info.filename!r} is a link or no file, which no release has: it was added.")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise DataError(f"{info.filename!r} is not stored as a release's files are: it was packed anew.")
    roots = {info.filename.partition("/")[0] for info in infos}
    if len(roots) != 1 or any("/" not in name for name in seen):
        raise DataError(f"{path} does not hold one folder with a release.")
    return roots.pop()


def _pack(out: IO[bytes], root: str, files: ReleaseFiles) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        for name in files.names:
            info = zipfile.ZipInfo(f"{root}/{name}", _EPOCH)
            # Whatever system packs it.
            info.create_system, info.external_attr = 3, _MODE << 16
            info.compress_type = zipfile.ZIP_STORED
            info.file_size = files.size(name)
            with made.open(info, "w") as entry:
                for piece in files.chunks(name):
                    entry.write(piece)


def _equal(one: IO[bytes], other: IO[bytes]) -> bool:
    while True:
        here, there = one.read(_CHUNK), other.read(_CHUNK)
        if here != there:
            return False
        if not here:
            return True
