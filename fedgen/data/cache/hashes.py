"""SHA-256 of files, remembered as long as the file system says that a file is the one that was hashed."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from fedgen.data.read import parallel
from fedgen.errors import DataError

#: A file that changed so short a time ago may change again within one tick of its clock: its hash is not remembered.
_SETTLED_NS = 2 * 10**9
_CREATE = (
    "CREATE TABLE IF NOT EXISTS hashes (device INTEGER, inode INTEGER, size INTEGER, modified INTEGER, "
    "changed INTEGER, sha256 BLOB, PRIMARY KEY (device, inode))"
)
_FIND = "SELECT sha256 FROM hashes WHERE device=? AND inode=? AND size=? AND modified=? AND changed=?"
_KEEP = "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)"
#: Device and inode numbers are unsigned, SQLite's integers are not.
_SIGN = 2**63

State = tuple[int, int, int, int, int]


def file_state(path: Path) -> State:
    """What changes when a file does: device, inode, size, and the times of its content and its attributes.

    Raises:
        DataError: an indexed file is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read any more ({error.strerror}): index the folder again."
        ) from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def file_hashes(paths: Sequence[Path], memory: Path) -> list[bytes]:
    """SHA-256 of each file.

    Args:
        paths: the files.
        memory: an SQLite file that keeps hashes, without names; made where absent, made anew where damaged.

    Raises:
        DataError: a file is gone or cannot be read.
    """
    states = [file_state(path) for path in paths]
    known = _known(states, memory)
    missing = [number for number, digest in enumerate(known) if digest is None]
    fresh = dict(zip(missing, parallel(_sha256, [paths[number] for number in missing]), strict=True))
    _remember([(states[number], digest) for number, digest in fresh.items()], memory)
    return [fresh[number] if digest is None else digest for number, digest in enumerate(known)]


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): grant access or remove it.") from None


def _known(states: Sequence[State], memory: Path) -> list[bytes | None]:
    if not memory.exists():
        return [None] * len(states)
    try:
        with closing(sqlite3.connect(memory, timeout=30)) as database:
            rows = (database.execute(_FIND, _signed(state)).fetchone() for state in states)
            return [None if row is None else bytes(row[0]) for row in rows]
    except sqlite3.Error:
        # What cannot be remembered is hashed again.
        return [None] * len(states)


def _remember(fresh: Sequence[tuple[State, bytes]], memory: Path) -> None:
    settled = time.time_ns() - _SETTLED_NS
    rows = [(*_signed(state), digest) for state, digest in fresh if max(state[3:]) < settled]
    if not rows:
        return
    try:
        with closing(sqlite3.connect(memory, timeout=30)) as database, database:
            database.execute(_CREATE)
            database.executemany(_KEEP, rows)
        memory.chmod(0o600)
    except sqlite3.DatabaseError:
        memory.unlink(missing_ok=True)
    except OSError:
        # Nobody's data depends on it: the next run hashes again.
        return


def _signed(state: State) -> tuple[int, ...]:
    return tuple(value - 2 * _SIGN if value >= _SIGN else value for value in state)
