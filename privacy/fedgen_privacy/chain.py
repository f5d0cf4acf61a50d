"""A file of JSON rows that shows what was done to it: each row is bound to the one before by its hash.

A line is `{"row": {...}, "sha256": ...}` with the SHA-256 of the line before's and of the row. So a row that was
changed, moved, inserted, or removed from the middle is seen; but a chain without its last rows is a chain. These are
missed by the HEAD, a small file beside it with the number of rows and the last hash. It is replaced, whole, AFTER a
row is on disk, so it never knows of a row that a crash can take away; a crash in between leaves it behind the rows,
never ahead. A head that is ahead means that rows are gone.

Neither shows who wrote a row, nor that file and head were put back together to an earlier state, such as by restoring
a backup of the whole folder: nothing that lies in the folder can.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedgen_privacy.durable import append_line, replace_file

Row = Mapping[str, Any]

GENESIS = "0" * 64
#: Rows from this version on come with a head; files from before have neither, until the next row is written.
ROW_VERSION = 2


class ChainBrokenError(Exception):
    """The text completes "The file ...": what is wrong with it."""


@dataclass(frozen=True)
class ChainHead:
    """Number of rows, and the hash of the last one."""

    rows: int
    sha256: str


class Chain:
    """The rows of one file.

    Args:
        path: JSON lines; made with the first row.

    Raises:
        ChainBrokenError: see `refresh`.
        OSError: a file is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head_path = path.with_name(f"{path.name}.head")
        self.rows: list[Row] = []
        #: hash of each row; the first one is before any
        self._hashes = [GENESIS]
        self._state: tuple[int, int, int] | None = None
        #: bytes of the finished lines, and of what a crash left behind them
        self._finished, self._torn = 0, 0
        self._read()

    def refresh(self) -> None:
        """Read what others wrote since; the rows that were read before must still be there.

        Raises:
            ChainBrokenError: a row was changed, moved, inserted or removed, or the head is damaged or gone.
            OSError: the file cannot be read.
        """
        if self._stat() != self._state:
            self._read()

    def settle(self) -> None:
        """Mend what a crash left behind; the caller holds a lock and has refreshed. Then rows may be appended.

        Raises:
            ChainBrokenError: the head is damaged.
            OSError: a file could not be written.
        """
        if self._torn:
            # The line was being written when the process died, so its fsync had not returned and nobody
            # acted on it: the row is cut off, not counted.
            with self._path.open("r+b") as handle:
                handle.truncate(self._finished)
                os.fsync(handle.fileno())
            self._torn, self._state = 0, self._stat()
        # There must be a head before the first row that says so, and somebody may now act on a row whose head a
        # crash left out.
        head = self._read_head()
        if head is None or head.rows < len(self.rows):
            self._write_head()

    def append(self, row: Row) -> None:
        """Put a row on disk; the caller holds a lock and has settled.

        Raises:
            OSError: it could not be written. Then either nothing was, or the row is there and counts.
        """
        row = {**row, "version": ROW_VERSION}
        sha256 = _sha256(self._hashes[-1], row)
        line = json.dumps({"row": row, "sha256": sha256}, allow_nan=False).encode()
        append_line(self._path, line)
        self.rows.append(row)
        self._hashes.append(sha256)
        self._finished += len(line) + 1
        self._state = self._stat()
        self._write_head()

    def _read(self) -> None:
        # The head first, for a process that only reads: it is never ahead of the rows, whoever writes meanwhile.
        head, state = self._read_head(), self._stat()
        content = b"" if state is None else self._path.read_bytes()
        finished = content.rfind(b"\n") + 1
        rows, hashes = _parse(content[:finished])
        seen = ChainHead(len(self.rows), self._hashes[-1])
        for known in (seen, head or seen):
            if known.rows > len(rows):
                raise ChainBrokenError(f"has {len(rows)} rows where {known.rows} were written")
            if hashes[known.rows] != known.sha256:
                raise ChainBrokenError("holds other rows than were written to it")
        if head is None and any(row.get("version") for row in rows):
            raise ChainBrokenError(
                f"has lost {self._head_path.name}, without which missing rows go unnoticed"
            )
        self.rows, self._hashes, self._state = rows, hashes, state
        self._finished, self._torn = finished, len(content) - finished

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _read_head(self) -> ChainHead | None:
        try:
            value = json.loads(self._head_path.read_text("utf-8"))
            head = ChainHead(int(value["rows"]), str(value["sha256"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ChainBrokenError(f"has a damaged {self._head_path.name}") from error
        if head.rows < 0:
            raise ChainBrokenError(f"has a damaged {self._head_path.name}")
        return head

    def _write_head(self) -> None:
        head = ChainHead(len(self.rows), self._hashes[-1])
        replace_file(self._head_path, json.dumps(asdict(head)).encode() + b"\n")


def _parse(content: bytes) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    hashes = [GENESIS]
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            value = json.loads(line)
            row, sha256 = dict(value["row"]), value["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise ChainBrokenError(f"is damaged at line {number}") from error
        if sha256 != _sha256(hashes[-1], row):
            raise ChainBrokenError(f"is damaged at line {number}")
        rows.append(row)
        hashes.append(sha256)
    return rows, hashes


def _sha256(previous: str, row: Row) -> str:
    text = json.dumps(row, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
