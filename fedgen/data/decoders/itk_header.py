"""The text at the head of NRRD and MetaImage, judged before ITK sees it: a damaged one can end the process there."""

from __future__ import annotations

import math
import re

from fedgen.data.decoders.guard import UnreadableError

#: Bytes in which the text before the pixels ends, with room for long private fields.
HEADER = 1 << 16
_LONGEST_LINE, _LONGEST_FIELD, _MOST_AXES = 4096, 200, 10
_NRRD_LINE = re.compile(r"[A-Za-z][A-Za-z0-9 ]*: .*|[^:=]+:=.*")
_META_LINE = re.compile(r"[A-Za-z][A-Za-z0-9_]*\s*=.*")
_DAMAGED = "cannot be read as NRRD or MetaImage: its header is damaged"
#: How many numbers a field has, by the number of axes.
_META_COUNTS = {
    "DimSize": 1, "ElementSpacing": 1, "ElementSize": 1, "Offset": 1, "Position": 1, "Origin": 1,
    "CenterOfRotation": 1, "TransformMatrix": 2, "Rotation": 2, "Orientation": 2,
}  # fmt: skip


def require_sane_header(head: bytes) -> None:
    """Refuse a header that no writer makes.

    Args:
        head: the first HEADER bytes of the file.

    Raises:
        UnreadableError: it is not text, or its numbers are not as many as its axes.
    """
    (_nrrd if head.startswith(b"NRRD") else _meta)(head)


def _nrrd(head: bytes) -> None:
    fields: dict[str, str] = {}
    # A blank line ends the header; one without it is all of its file, and names another for the pixels.
    text = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    for line in _lines(text)[1:]:
        if line.startswith("#"):
            continue
        _require(len(line) <= _LONGEST_LINE and _NRRD_LINE.fullmatch(line) is not None)
        name, _, value = line.partition(":")
        if not value.startswith("="):
            _require(name.lower() not in fields)
            fields[name.lower()] = value.strip()
    axes = _whole(fields.get("dimension", ""))
    _require(0 < axes <= _MOST_AXES)
    _sizes(fields.get("sizes", "").split(), axes)
    for name in ("spacings", "space directions", "kinds", "thicknesses", "axis mins", "axis maxs", "centers"):
        if name in fields:
            _require(len(re.findall(r"\([^()]*\)|[^\s()]+", fields[name])) == axes)
    for vector in re.findall(
        r"\(([^()]*)\)", fields.get("space directions", "") + fields.get("space origin", "")
    ):
        _numbers(vector.split(","), vector.count(",") + 1)


def _meta(head: bytes) -> None:
    fields: dict[str, str] = {}
    for line in _lines(head):
        if not line:
            continue
        _require(_META_LINE.fullmatch(line) is not None and len(line) <= _LONGEST_LINE)
        name, _, value = line.partition("=")
        _require(len(name) < _LONGEST_FIELD)
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            break
    else:
        _require(False)
    axes = _whole(fields.get("NDims", ""))
    _require(
        0 < axes <= _MOST_AXES and re.fullmatch(r"MET_[A-Z_]+", fields.get("ElementType", "")) is not None
    )
    _sizes(fields.get("DimSize", "").split(), axes)
    for name, power in _META_COUNTS.items():
        if name in fields:
            _numbers(fields[name].split(), axes**power)
    for name in ("ElementNumberOfChannels", "HeaderSize", "CompressedDataSize"):
        if name in fields:
            _require(re.fullmatch(r"-?\d{1,18}", fields[name]) is not None)


def _lines(head: bytes) -> list[str]:
    return [line.removesuffix("\r") for line in head.decode("latin-1").removesuffix("\n").split("\n")]


def _sizes(words: list[str], axes: int) -> None:
    _require(len(words) == axes and all(0 < _whole(word) < 2**31 for word in words))


def _numbers(words: list[str], count: int) -> None:
    _require(len(words) == count)
    for word in words:
        try:
            _require(math.isfinite(float(word)))
        except ValueError:
            _require(False)


def _whole(word: str) -> int:
    return int(word) if re.fullmatch(r"\d{1,10}", word) else 0


def _require(holds: bool) -> None:
    if not holds:
        raise UnreadableError(_DAMAGED)
