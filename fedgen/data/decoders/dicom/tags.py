"""Datasets and elements, read so that a damaged or unusual one is named instead of raised."""

from __future__ import annotations

import functools
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from fedgen.data.decoders.guard import (
    BoundedFile,
    UnreadableError,
    guard,
    one_line,
    require_file,
    require_inflatable,
)

# Its warnings repeat what a file holds, which may be of a patient; what matters of them is refused or noted here. The
# filter is set once: one that is set and taken back around each file is not safe between threads.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")

_VALUE_REPRESENTATIONS = {vr.value.encode() for vr in VR if len(vr.value) == 2}
_PER_FRAME, _SHARED = BaseTag(0x52009230), BaseTag(0x52009229)
#: Of an element's length at the head of a file without preamble; longer ones mean that it is something else.
_PLAUSIBLE_LENGTH = 4096
#: Bytes within which a file names its transfer syntax, and that are read of a deflated one at once.
_META, _CHUNK = 2048, 2**20


def read_tags(path: Path, *, stop_before_pixels: bool) -> Any:
    """The dataset of a DICOM file, with or without preamble and meta header.

    Raises:
        UnreadableError: not DICOM, or damaged.
    """
    require_file(path)
    with guard(), path.open("rb") as file:
        head = file.read(132)
    bare = head[128:] != b"DICM"
    if bare and not _bare_dicom(head):
        raise UnreadableError("is not a DICOM file")
    with guard("cannot be read as DICOM"), BoundedFile(path) as file:
        _require_no_bomb(file)
        dataset = pydicom.dcmread(file, stop_before_pixels=stop_before_pixels, force=bare)
        # pydicom reads elements when they are asked for; what follows reads none that can be damaged.
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax if little else ExplicitVRBigEndian
    if bare and "SOPClassUID" not in dataset and "Rows" not in dataset and "Modality" not in dataset:
        raise UnreadableError("is not a DICOM file")
    return dataset


def _require_no_bomb(file: BoundedFile) -> None:
    """Refuse a deflated dataset that becomes larger than any picture: pydicom decompresses it whole."""
    head = file.read(_META)
    if len(head) > 144 and DeflatedExplicitVRLittleEndian.encode() in head:
        # What is deflated follows the group of meta information, whose length is its first element (PS3.10, 7.1).
        file.seek(144 + int.from_bytes(head[140:144], "little"))
        require_inflatable(iter(lambda: file.read(_CHUNK), b""))
    file.seek(0)


def looks_like_dicom(path: Path) -> bool:
    """Whether the first bytes are of DICOM: the letters DICM after 128 bytes, or the first elements without them.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(132)
    return head[128:] == b"DICM" or _bare_dicom(head)


def _bare_dicom(head: bytes) -> bool:
    """Whether a file begins with an element of group 2 or 8, as objects without preamble (and ACR-NEMA) do."""
    if len(head) < 12:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        if group not in (2, 8) or element > 0x0100:
            continue
        explicit = head[4:6] in _VALUE_REPRESENTATIONS
        # Implicit VR exists in little endian alone.
        if explicit or (order == "<" and length <= _PLAUSIBLE_LENGTH):
            return True
    return False


def text(tags: Any, keyword: str) -> str:
    """An element as text without outer blanks; empty where it is absent.

    Raises:
        UnreadableError: it cannot be read.
    """
    value = _value(tags, keyword)
    return "" if value is None else str(value).strip()


def words(tags: Any, keyword: str) -> tuple[str, ...]:
    """The values of an element as texts; none where it is absent.

    Raises:
        UnreadableError: it cannot be read.
    """
    value = _value(tags, keyword)
    if value is None:
        return ()
    many = [value] if isinstance(value, (str, bytes, int, float)) else list(value)
    return tuple(str(each).strip() for each in many)


def numbers(tags: Any, keyword: str) -> tuple[float, ...]:
    """The values of an element as numbers; none where it is absent or empty. A decimal comma counts as a point.

    Raises:
        UnreadableError: it holds something else than numbers.
    """
    stated = _stated(tags, keyword)
    try:
        return tuple(float(each.replace(",", ".")) for each in stated)
    except ValueError:
        shown = "\\".join(stated)
        raise UnreadableError(f"has the {keyword} {shown}, which is no number") from None


def has_decimal_comma(tags: Any, keyword: str) -> bool:
    """Whether a number is written as in 0,5, which DICOM does not allow and some exports do."""
    return any("," in each for each in _stated(tags, keyword))


def _stated(tags: Any, keyword: str) -> list[str]:
    """The numbers of an element as they are written."""
    try:
        value = tags.get(keyword)
    except ValueError:
        value = _raw(tags, keyword)
    except Exception as error:
        raise UnreadableError(f"has a {keyword} that cannot be read ({one_line(error)})") from error
    if value is None:
        return []
    many = [value] if isinstance(value, (str, bytes, int, float)) else list(value)
    return [str(each).strip() for each in many if str(each).strip()]


def whole_number(tags: Any, keyword: str, default: int) -> int:
    """An element as one whole number; `default` where it is absent or empty.

    Raises:
        UnreadableError: it is none.
    """
    try:
        value = tags.get(keyword)
        if value is None or value == "":
            return default
        return int(value)
    except Exception:
        raise UnreadableError(
            f"has the {keyword} {_shown(_raw(tags, keyword))}, which is no whole number"
        ) from None


def items(tags: Any, keyword: str) -> Sequence[Any]:
    """The items of a sequence; none where it is absent.

    Raises:
        UnreadableError: it is no sequence.
    """
    value = _value(tags, keyword)
    if value is None:
        return ()
    if not isinstance(value, pydicom.Sequence):
        raise UnreadableError(f"has a {keyword} that is no sequence")
    return value


def groups(tags: Any, frame: int, keyword: str) -> Iterator[Any]:
    """The item of a functional group of a frame: its own, then the one that all frames share (PS3.3, C.7.6.16)."""
    # Asked of every element of every file, and most files have none.
    if _PER_FRAME not in tags and _SHARED not in tags:
        return
    own = items(tags, "PerFrameFunctionalGroupsSequence")
    shared = items(tags, "SharedFunctionalGroupsSequence")
    for macro in (*own[frame : frame + 1], *shared[:1]):
        yield from items(macro, keyword)[:1]


def _value(tags: Any, keyword: str) -> Any:
    try:
        return tags.get(keyword)
    except Exception as error:
        raise UnreadableError(f"has a {keyword} that cannot be read ({one_line(error)})") from error


def _raw(tags: Any, keyword: str) -> list[str]:
    element = tags.get_item(_tag(keyword))
    value = None if element is None else element.value
    if isinstance(value, bytes):
        return value.decode("ascii", "replace").strip("\0 ").split("\\")
    return [] if value is None else [str(value)]


@functools.cache
def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def _shown(value: Any) -> str:
    return "\\".join(value) if isinstance(value, list) else str(value)
