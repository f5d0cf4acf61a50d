"""Keep a long-lived process from growing while models pass through it."""

from __future__ import annotations

import contextlib
import ctypes

#: glibc's M_MMAP_THRESHOLD, and the size from which a buffer gets pages of its own.
_PARAMETER, BYTES = -3, 2**20


def return_large_buffers() -> None:
    """Let buffers of a mebibyte or more go back to the system when they are freed; nothing where libc has no `mallopt`.

    glibc raises its threshold to the largest buffer that was ever freed, and takes later ones from a heap that they
    leave in pieces.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_PARAMETER, BYTES)
