"""Many images in one file: .npz and .npy of NumPy, and the idx files of MNIST, compressed or not.

Nothing is unpickled. A stack of images is held in memory once, or mapped where the file is not compressed, however many
index entries point into it.
"""

from __future__ import annotations

import gzip
import math
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.decoders.guard import is_file
from fedgen.data.index import SliceRange

#: Types of an idx file by their code (Y. LeCun, "The MNIST database", file formats).
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
#: A compressed array is held in memory; one larger than this is asked for uncompressed.
_MOST_BYTES = 4 * 2**30
_COLOURS = (1, 3)
#: Rows and columns of fewer are numbers, not pictures.
_LEAST_SIDE = 4
#: Bytes that deflate makes of one at most.
_DEFLATED = 1032


@dataclass(frozen=True)
class ArrayShape:
    """What an array file says of one of its arrays."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def images(self) -> tuple[int, int, int] | None:
        """(n, H, W) of an array that can only be a stack of images, gray or in colour; else None."""
        if self.dtype.kind not in "buif":
            return None
        if len(self.shape) == 3:
            n, height, width = self.shape
        elif len(self.shape) == 4 and self.shape[3] in _COLOURS:
            n, height, width, _ = self.shape
        elif len(self.shape) == 4 and self.shape[1] in _COLOURS:
            n, _, height, width = self.shape
        else:
            return None
        return (n, height, width) if n > 0 and min(height, width) >= _LEAST_SIDE else None


class ArrayDecoder(Decoder):
    """Stacks of images; the number of a stack, in the order of the file, is its volume."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (".npz", ".npy")

    def recognises(self, path: Path) -> bool:
        """The first bytes of an idx file of images, compressed or not."""
        with path.open("rb") as file:
            return _is_idx(file) is not None

    def header(self, path: Path, axis: int) -> Header:
        """Size and number of the images of a file with one stack; `axis` has no meaning: images are images."""
        stacks = [array.images for array in array_shapes(path).values() if array.images is not None]
        if len(stacks) != 1:
            names = ", ".join(array_shapes(path))
            raise UnreadableError(
                f"holds {len(stacks)} stacks of images (arrays: {names}): name one image of one as FILE/ARRAY/NUMBER"
            )
        n, height, width = stacks[0]
        return Header((height, width), depth=n if n > 1 else None)

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Stored values of the images `slices` of stack number `slices.volume`, (n, H, W, 1) or (n, H, W, 3)."""
        names = [name for name, array in array_shapes(path).items() if array.images is not None]
        number = 0 if slices is None else slices.volume
        if number >= len(names):
            raise UnreadableError(
                f"holds {len(names)} stacks of images, and not {number + 1}: index the folder again"
            )
        stack = _STACKS.get(path, names[number])
        chosen = stack[:1] if slices is None else stack[slices.start : slices.stop : slices.step]
        if chosen.ndim == 3:
            chosen = chosen[..., np.newaxis]
        elif chosen.shape[3] not in _COLOURS:
            chosen = np.moveaxis(chosen, 1, -1)
        return np.ascontiguousarray(chosen, dtype=np.float32)


DECODER = ArrayDecoder()


def array_shapes(path: Path) -> Mapping[str, ArrayShape]:
    """Every array of a file by its name, in the order of the file; nothing of it is read but its header.

    Raises:
        UnreadableError: not an array file, or damaged.
    """
    key = (path, path.stat().st_mtime_ns)
    found = _SHAPES.get(key)
    if found is None:
        _SHAPES.clear()
        found = _shapes(path)
        _require_held(path, found)
        _SHAPES[key] = found
    return found


def _require_held(path: Path, arrays: Mapping[str, ArrayShape]) -> None:
    """Refuse shapes that the bytes of the file cannot fill: each image would become an entry of the index."""
    with path.open("rb") as file:
        packed = file.read(2) in (_GZIP, b"PK")
    room = path.stat().st_size * (_DEFLATED if packed else 1)
    for name, array in arrays.items():
        # A product of Python's whole numbers: none is too large for it.
        if array.dtype.itemsize * math.prod(array.shape) > room:
            sides = " x ".join(str(side) for side in array.shape)
            raise UnreadableError(f"claims {sides} values in {name}, more than its bytes can hold")


def array_place(folder: Path, address: str) -> tuple[str, SliceRange, tuple[int, int]] | None:
    """File, place and size of one image of an array file; None where the address is no such one.

    Args:
        folder: the folder of the images.
        address: below it, FILE/NUMBER, or FILE/ARRAY/NUMBER of an .npz.

    Raises:
        UnreadableError: there is such a file, but no such image in it.
    """
    parts = PurePosixPath(address).parts
    for length in range(len(parts) - 1, 0, -1):
        file = folder.joinpath(*parts[:length])
        if is_file(file):
            break
    else:
        return None
    *named, number = parts[length:]
    stacks = [(name, array.images) for name, array in array_shapes(file).items() if array.images is not None]
    wanted = "/".join(named)
    for volume, (name, (n, height, width)) in enumerate(stacks):
        if wanted in (name, "") and (wanted or len(stacks) == 1) and number.isdecimal() and int(number) < n:
            place = SliceRange(0, int(number), int(number) + 1, 1, volume)
            return PurePosixPath(*parts[:length]).as_posix(), place, (height, width)
    names = ", ".join(f"{name} of {n}" for name, (n, _, _) in stacks)
    raise UnreadableError(
        f"is no image of that file, whose stacks are {names or 'none'}: name one as FILE/ARRAY/NUMBER"
    )


def array_values(path: Path, name: str) -> NDArray[Any]:
    """A small array of a file: labels, or the patients of the images.

    Raises:
        UnreadableError: damaged, or of Python objects, which are never unpickled.
    """
    return _loaded(path, name)


_SHAPES: dict[tuple[Path, int], Mapping[str, ArrayShape]] = {}


def _shapes(path: Path) -> Mapping[str, ArrayShape]:
    with path.open("rb") as file:
        if (idx := _is_idx(file)) is not None:
            return {path.name: idx}
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            return {path.stem: _npy(file)}
    try:
        with zipfile.ZipFile(path) as packed:
            found = {}
            for member in packed.infolist():
                if member.filename.endswith(".npy"):
                    with packed.open(member) as inner:
                        found[member.filename.removesuffix(".npy")] = _npy(inner)
            return found
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UnreadableError(f"is no .npz file or is damaged ({error})") from error


def _npy(file: Any) -> ArrayShape:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return ArrayShape(tuple(int(side) for side in shape), dtype)


def _is_idx(file: BinaryIO) -> ArrayShape | None:
    """Shape of an idx file, compressed or not; None where it is none."""
    start = file.read(2)
    file.seek(0)
    if start == _GZIP:
        try:
            with gzip.open(file) as inner:
                return _idx(inner.read(4 + 4 * 4))
        except (OSError, EOFError):
            return None
    return _idx(file.read(4 + 4 * 4))


def _idx(head: bytes) -> ArrayShape | None:
    if len(head) < 8 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or not 1 <= head[3] <= 4:
        return None
    shape = tuple(int.from_bytes(head[4 + 4 * n : 8 + 4 * n], "big") for n in range(head[3]))
    return ArrayShape(shape, np.dtype(_IDX_TYPES[head[2]])) if min(shape) > 0 else None


def _loaded(path: Path, name: str) -> NDArray[Any]:
    array = array_shapes(path)[name]
    size = array.dtype.itemsize * int(np.prod(array.shape, dtype=np.float64))
    with path.open("rb") as file:
        idx = _is_idx(file) is not None
        file.seek(0)
        packed = file.read(2) == _GZIP
    if idx and not packed:
        offset = 4 + 4 * len(array.shape)
        return np.memmap(path, array.dtype, "r", offset, array.shape)
    if not idx and path.suffix.lower() == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    if size > _MOST_BYTES:
        raise UnreadableError(
            f"holds {size / 2**30:.0f} GiB of images in one compressed array: save it as a .npy file, which is read "
            "piece by piece"
        )
    if not idx:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[name])
    with gzip.open(path) as inner:
        content = inner.read(4 + 4 * len(array.shape) + size)[4 + 4 * len(array.shape) :]
    if len(content) != size:
        raise UnreadableError("is cut short")
    return np.frombuffer(content, array.dtype).reshape(array.shape)


class _Stacks:
    """The stacks that were read last: one image after the other is asked for, and each stack is read once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[tuple[Path, int, str], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, name: str) -> NDArray[Any]:
        """The array; threads that ask for one that is being read wait for it."""
        key = (path, path.stat().st_mtime_ns, name)
        with self._lock:
            if key not in self._held:
                self._held[key] = _loaded(path, name)
                while len(self._held) > self._most:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]


_STACKS = _Stacks(2)
