"""The files of a bundle: a folder, a zip archive, or one file of weights alone; nothing is ever unpacked to the disk.

An archive comes from elsewhere. Its names are refused where they point out of it, and its sizes are those that are
read, never those that it states.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from fedgen.errors import DataError

#: Files of a bundle; those of MONAI's have some dozens.
MOST_FILES = 10_000
#: Bytes of one file of weights, and of any other.
MOST_WEIGHTS, MOST_TEXT = 4 * 2**30, 2**20


class BundleFiles(ABC):
    """Files by their names in the bundle, with `/` between folders.

    Attributes:
        title: what to call the bundle in a sentence.
        names: of all files, sorted.
    """

    title: str
    names: tuple[str, ...]

    @abstractmethod
    def read(self, name: str, most: int = MOST_TEXT) -> bytes:
        """A file's bytes.

        Raises:
            DataError: it has more than `most` bytes, or cannot be read.
        """


def open_bundle(path: Path) -> BundleFiles:
    """The files of the bundle, or the one file of weights, at `path`.

    Raises:
        DataError: there is nothing, an archive is damaged or points out of itself, or there are too many files.
    """
    if path.is_dir():
        return _Folder(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist: give a bundle's folder, its zip, or a file of weights.")
    return _Archive(path) if _is_archive(path) else _OneFile(path)


class _OneFile(BundleFiles):
    def __init__(self, path: Path) -> None:
        self.title, self.names = str(path), (path.name,)
        self._path = path

    def read(self, name: str, most: int = MOST_TEXT) -> bytes:
        return _contents(self._path, most)


class _Folder(BundleFiles):
    def __init__(self, root: Path) -> None:
        self.title = str(root)
        self._paths: dict[str, Path] = {}
        real = root.resolve()
        for path in sorted(root.rglob("*")):
            if not path.is_file():
                continue
            if not path.resolve().is_relative_to(real):
                raise DataError(
                    f"{path} is a link out of the bundle: put the file itself there, or take the link away."
                )
            self._paths[path.relative_to(root).as_posix()] = path
            _refuse_many(len(self._paths), self.title)
        self.names = tuple(self._paths)

    def read(self, name: str, most: int = MOST_TEXT) -> bytes:
        return _contents(self._paths[name], most)


class _Archive(BundleFiles):
    def __init__(self, path: Path) -> None:
        self.title = str(path)
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"{path} is a damaged zip archive ({error}): get it again.") from None
        _refuse_many(len(members), self.title)
        for member in members:
            self._refuse_member(member)
        found = [PurePosixPath(member.filename) for member in members]
        # Archives of a bundle mostly hold its folder, and not only what is in it.
        outer = {name.parts[0] for name in found}
        inner = len(outer) == 1 and all(len(name.parts) > 1 for name in found)
        self._members = {
            "/".join(name.parts[inner:]): member for name, member in zip(found, members, strict=True)
        }
        if len(self._members) != len(members):
            raise DataError(f"{path} holds two files of one name: get an archive that says which is meant.")
        self.names = tuple(sorted(self._members))

    def _refuse_member(self, member: zipfile.ZipInfo) -> None:
        name = member.orig_filename
        pure = PurePosixPath(name)
        wrong = None
        if pure.is_absolute() or ".." in pure.parts or any(bad in name for bad in ("\\", ":", "\0")):
            wrong = "has a name that points out of the archive"
        elif stat.S_ISLNK(member.external_attr >> 16):
            wrong = "is a link"
        elif member.flag_bits & 1:
            wrong = "is encrypted"
        elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            wrong = "is compressed in a way that is not read"
        if wrong is not None:
            raise DataError(f"{self._path}: {name!r} {wrong}; no bundle needs that, so none of it was read.")

    def read(self, name: str, most: int = MOST_TEXT) -> bytes:
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(self._members[name]) as file:
                content = file.read(most + 1)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, zlib.error) as error:
            raise DataError(f"{name} of {self._path} is damaged ({error}): get the archive again.") from None
        return _small_enough(content, most, f"{name} of {self._path}")


def _is_archive(path: Path) -> bool:
    """Whether it is a zip archive, and not a file that torch.save wrote, which is one too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(PurePosixPath(name).name == "data.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return path.suffix == ".zip"


def _contents(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return _small_enough(file.read(most + 1), most, str(path))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): check the path and its permissions."
        ) from None


def _small_enough(content: bytes, most: int, what: str) -> bytes:
    if len(content) > most:
        raise DataError(f"{what} has more than the {most} bytes that are read of such a file.")
    return content


def _refuse_many(count: int, what: str) -> None:
    if count > MOST_FILES:
        raise DataError(f"{what} has more than {MOST_FILES} files: give the folder of one bundle.")
