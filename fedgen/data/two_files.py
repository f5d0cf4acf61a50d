"""Volumes in two files, a header and the pixels beside it: which file is the other half of which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import decoder_for

_HEADERS = (".hdr", ".mhd", ".nhdr")
#: What the pixels of a pair are called; those of the other headers are named in these.
_PIXELS = (".img", ".img.gz", ".raw", ".zraw", ".raw.gz")


def other_halves(folder: Path, path: str) -> tuple[str, ...]:
    """The further files that a volume lies in, relative to `folder`; none where it is in one file, or has none."""
    if not path.lower().endswith((*_HEADERS, *_PIXELS[:2])):
        return ()
    try:
        names = decoder_for(folder / path).header(folder / path, 2).companions
    except UnreadableError:
        return ()
    return tuple((PurePosixPath(path).parent / name).as_posix() for name in names)


def second_files(folder: Path, files: Iterable[str], used: set[str]) -> Iterator[str]:
    """Those of `files` that are no images of their own, because they are halves of others.

    Args:
        folder: the folder.
        files: all that are in it.
        used: those that are an image or a mask; a header is the second half where its pixels are.
    """
    known = frozenset(files)
    for path in files:
        stem = PurePosixPath(path).with_suffix("").as_posix()
        if path.lower().endswith(_HEADERS):
            # Of a damaged header nothing but its name says which pixels are its own.
            found = other_halves(folder, path) or tuple(stem + ending for ending in _PIXELS)
        elif path in used:
            found = other_halves(folder, path)
        else:
            continue
        yield from known.intersection(found)
