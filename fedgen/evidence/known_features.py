"""Features of images, computed once a process: audits, metrics and every site of a simulation ask for the same ones.

What is remembered of an image is found by the hash of its pixels, so that it does not matter who asks for it, in which
part or order. Features are no more than the images they are made of, which the process holds anyway.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock

import torch
from torch import Tensor

from fedgen.evidence.remembered import of_tensor
from fedgen.evidence.workers import workers
from fedgen.extractors.contract import Extractor

#: Images given to an extractor at once, to bound memory.
BATCH = 64
#: Bytes of features that are remembered, those of the images last asked for.
MOST_BYTES = 1 << 28

#: (extractor, image) -> (num_features,) float32, the last asked for at the end.
_known: OrderedDict[tuple[str, bytes], Tensor] = OrderedDict()
_changing = Lock()


#: (n, C, *size) images -> (n, f) float32 features, of each image for itself
Features = Callable[[Tensor], Tensor]


def extract(extractor: Extractor, images: Tensor) -> Tensor:
    """Features of (n, C, *size) images in bounded memory; (n, num_features) float32."""
    if len(images) == 0:
        return torch.empty(0, extractor.num_features)
    return known(f"{extractor.name} {extractor.hash}", extractor, images)


def known(name: str, features: Features, images: Tensor) -> Tensor:
    """Features of (n, C, *size) images, n at least 1, of each image made once; (n, f).

    Args:
        name: what identifies the features.
        features: makes them, of `BATCH` images at most, and of several such batches at the same time.
        images: as float16 or float32.
    """
    first = first_equal(images)
    rows, which = first.unique(return_inverse=True)
    every = digests(images)
    keys = [(name, every[row]) for row in rows.tolist()]
    found = _remembered(keys)
    missing = [row for row, key in enumerate(keys) if key not in found]
    for row, made in zip(missing, _made(features, images, rows[missing].tolist()), strict=True):
        found[keys[row]] = made
    _remember({keys[row]: found[keys[row]] for row in missing})
    return torch.stack([found[key] for key in keys])[which]


def _made(features: Features, images: Tensor, rows: list[int]) -> Iterator[Tensor]:
    """Features of the images at these rows, of batches side by side."""
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    if len(batches) < 2:
        for batch in batches:
            yield from features(images[batch].float())
        return
    with workers() as pool:
        for made in pool.map(lambda batch: features(images[batch].float()), batches):
            yield from made


def digests(images: Tensor) -> list[bytes]:
    """A hash of each image's shape and values as float32; of a tensor that is asked for again, unchanged, made once."""
    return _hashed(images)[0]


def first_equal(images: Tensor) -> Tensor:
    """(n,) int64 of each image the position of the first whose values are the same."""
    return _hashed(images)[1]


def _hashed(images: Tensor) -> tuple[list[bytes], Tensor]:
    return of_tensor("images", images, lambda: _hash(images))


def _hash(images: Tensor) -> tuple[list[bytes], Tensor]:
    start = hashlib.sha256(str(tuple(images.shape[1:])).encode())
    found = []
    for part in images.split(BATCH):
        for image in part.cpu().float().contiguous().numpy():
            own = start.copy()
            own.update(image.data)
            found.append(own.digest())
    first: dict[bytes, int] = {}
    positions = [first.setdefault(digest, row) for row, digest in enumerate(found)]
    return found, torch.tensor(positions, dtype=torch.int64)


def _remembered(keys: list[tuple[str, bytes]]) -> dict[tuple[str, bytes], Tensor]:
    with _changing:
        found = {key: _known[key] for key in keys if key in _known}
        for key in found:
            _known.move_to_end(key)
    return found


def _remember(made: dict[tuple[str, bytes], Tensor]) -> None:
    with _changing:
        # A row of its own, or it would hold its batch.
        _known.update({key: row.clone() for key, row in made.items()})
        held = sum(row.nbytes for row in _known.values())
        while held > MOST_BYTES:
            held -= _known.popitem(last=False)[1].nbytes
