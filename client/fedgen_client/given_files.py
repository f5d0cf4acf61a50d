"""Files that a study stands on and the coordinator does not send: which are wanted, and which lie in `given/`.

An IT officer puts a file into the site's folder `given/`, under any name; a study takes it by its hash. So no path is
typed into a browser, nothing is uploaded, and a file that is another is told from the wanted one before it is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedgen.errors import DataError
from fedgen.run.atomic import unreadable
from fedgen_client.folder import SiteFolder
from fedgen_client.studies import OfferedStudy

#: Files of `given/` that are looked at, and bytes of one of them.
MOST_FILES, MOST_BYTES = 50, 8 * 2**30

#: Path, inode, size and time of a file to its hash: of a gigabyte it takes a second.
_hashes: dict[tuple[Path, int, int, int], str] = {}


@dataclass(frozen=True)
class WantedFile:
    """A file that a study stands on.

    Attributes:
        what: it is, in a line.
        sha256: by which the study names it.
        source: what the study says of where it comes from.
        option: of `fedgen-client approve`, where one takes it; empty for public weights.
        kept: where this site keeps it once it was given.
    """

    what: str
    sha256: str
    source: str
    option: str
    kept: Path


@dataclass(frozen=True)
class GivenFile:
    """A file in `given/`.

    Attributes:
        path: of it.
        size: bytes.
        sha256: of its content; None where it is not looked into.
        why_not: why not.
    """

    path: Path
    size: int
    sha256: str | None
    why_not: str = ""


def wanted_files(folder: SiteFolder, offered: OfferedStudy) -> tuple[WantedFile, ...]:
    """Every file that this site has to be given for a study, whether it has it or not."""
    from fedgen.run.given_file import weights_path  # loads torch

    model, kept = offered.study.model, folder.pretrained(offered.study_sha256)
    found = []
    if model.prior is not None and model.prior.phantom is None:
        sha256, words = str(model.prior.sha256), model.prior.words
        found.append(WantedFile("the public prior that it stands on", sha256, words, "--prior", kept))
    if model.adapters is not None and model.pretrained is not None:
        start = model.pretrained
        what = "the weights under the adapters that it trains"
        found.append(WantedFile(what, start.sha256, start.source, "--pretrained", kept))
    found += [
        WantedFile(f"{file.what}, public weights", file.sha256, file.source, "", weights_path(file.sha256))
        for file in model.given_weights
    ]
    return tuple(found)


def missing_files(folder: SiteFolder, offered: OfferedStudy) -> tuple[WantedFile, ...]:
    """Those that this site does not keep yet."""
    return tuple(file for file in wanted_files(folder, offered) if not file.kept.is_file())


def given_files(folder: SiteFolder) -> tuple[GivenFile, ...]:
    """What lies in `given/`, by name; the folder is made where it is not there yet.

    Raises:
        DataError: it cannot be read.
    """
    place = folder.given
    # Where it cannot be made, nobody can put a file there either, and the listing is empty.
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, exist_ok=True)
    try:
        paths = sorted(path for path in place.iterdir() if not path.name.startswith("."))[:MOST_FILES]
        return tuple(_looked_at(path) for path in paths)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreadable(place, error) from error


def find_given(files: Sequence[GivenFile], sha256: str) -> Path | None:
    """The file of that hash, or None."""
    return next((file.path for file in files if file.sha256 == sha256), None)


def read_given(path: Path, sha256: str) -> bytes:
    """The very bytes of that hash, whatever became of the file since it was looked at.

    Raises:
        DataError: it is another by now, or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{path} was changed while it was read: put the file with sha256 {sha256} there again."
        )
    return content


def _looked_at(path: Path) -> GivenFile:
    # Of the link itself: what it points to may be anything, and may be another thing later.
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return GivenFile(path, 0, None, "not a plain file")
    if found.st_size > MOST_BYTES:
        return GivenFile(path, found.st_size, None, "too large to be looked into")
    version = (path, found.st_ino, found.st_size, found.st_mtime_ns)
    if version not in _hashes:
        try:
            with path.open("rb") as file:
                _hashes[version] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return GivenFile(path, found.st_size, None, f"cannot be read ({error.strerror})")
    return GivenFile(path, found.st_size, _hashes[version])
