"""Files that hold a secret key: for their owner alone, whole or absent, never overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

from fedgen_privacy.durable import new_file
from fedgen_privacy.errors import PrivacyRefusedError


def make_secret(path: Path, content: bytes) -> None:
    """Write `content` to a new file that only its owner can read or write.

    A crash leaves no part of it: the file gets its name once its content is on disk.

    Raises:
        FileExistsError: there is one already; it is left as it was.
        OSError: it cannot be written.
    """
    new_file(path, content)


def read_secret(path: Path) -> bytes:
    """The content of a secret file.

    Raises:
        PrivacyRefusedError: others than its owner can read or write it.
        OSError: it cannot be read.
    """
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PrivacyRefusedError(
            f"The secret key {path} can be read by others: run chmod 600 on it, and replace it by a new one if "
            "anybody may have read it."
        )
    return path.read_bytes()
