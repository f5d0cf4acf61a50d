"""Damage: bytes changed, cut, added, moved, and numbers that a reader would believe; also below a checksum."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence

#: Values at which lengths, counts and types go wrong.
_ODD = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x10000,
    0x1000000,
)
_TEXTS = (b"-1", b"0", b"99999999", b"1e999", b"nan", b"1A", b"0,5", b"\\", b"\0", b"\xff\xfe", b"../x")

#: What to do, where, and with what.
Change = tuple[int, int, int]
KINDS = 10


def damaged(content: bytes, changes: Sequence[Change], inner: bool) -> bytes:
    """`content` after each change in turn; where `inner`, below its gzip, or with PNG checksums that hold."""
    if inner and content[:2] == b"\x1f\x8b":
        return gzip.compress(_changed(gzip.decompress(content), changes), 1, mtime=0)
    if inner and content[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(content, changes)
    return _changed(content, changes)


def _changed(content: bytes, changes: Sequence[Change]) -> bytes:
    data = bytearray(content)
    for kind, where, value in changes:
        at = where % (len(data) + 1)
        odd = _ODD[value % len(_ODD)]
        match kind % KINDS:
            case 0:
                data[at : at + 1] = bytes([value & 0xFF])
            case 1:
                if at < len(data):
                    data[at] ^= 1 << value % 8
            case 2:
                data[at : at + 2] = struct.pack("<H" if value & 1 else ">H", odd & 0xFFFF)
            case 3:
                data[at : at + 4] = struct.pack("<I" if value & 1 else ">I", odd)
            case 4:
                del data[at:]
            case 5:
                del data[at : at + value % 64]
            case 6:
                data[at:at] = value.to_bytes(4, "little") * (1 + value % 16)
            case 7:
                data[at:at] = data[at : at + value % 256]
            case 8:
                text = _TEXTS[value % len(_TEXTS)]
                data[at : at + len(text)] = text
            case 9:
                data += bytes([value & 0xFF]) * (value % 5000)
    return bytes(data)


def _png(content: bytes, changes: Sequence[Change]) -> bytes:
    parts, at = [content[:8]], 8
    chunks = []
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    for number, (name, body) in enumerate(chunks):
        mine = [change for change in changes if change[1] % len(chunks) == number]
        body = _changed(body, mine)
        parts.append(len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big"))
    return b"".join(parts)
