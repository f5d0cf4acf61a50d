"""Features of images, computed once a process: audits, metrics and every site of a simulation ask for the same ones.

What is remembered of an image is found by the hash of its pixels, so that it does not matter who asks for it, in which
part or order. Features are no more than the images they are made of, which the process holds anyway.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

import torch
from torch import Tensor

from fedgen.extractors.contract import Extractor

#: Images given to an extractor at once, to bound memory.
BATCH = 64
#: Bytes of features that are remembered, those of the images last asked for.
MOST_BYTES = 1 << 28

#: (extractor, image) -> (num_features,) float32, the last asked for at the end.
_known: OrderedDict[tuple[str, bytes], Tensor] = OrderedDict()
_changing = Lock()


def extract(extractor: Extractor, images: Tensor) -> Tensor:
    """Features of (n, C, *size) images in bounded memory; (n, num_features) float32.

    An extractor looks at each image for itself, and at each image once.
    """
    if len(images) == 0:
        return torch.empty(0, extractor.num_features)
    keys = [(f"{extractor.name} {extractor.hash}", digest) for digest in digests(images)]
    found = _remembered(keys)
    missing = list({key: row for row, key in enumerate(keys) if key not in found}.values())
    for start in range(0, len(missing), BATCH):
        rows = missing[start : start + BATCH]
        made = extractor(images[rows].float())
        found |= {keys[row]: features for row, features in zip(rows, made, strict=True)}
    _remember({keys[row]: found[keys[row]] for row in missing}, 4 * extractor.num_features)
    return torch.stack([found[key] for key in keys])


def digests(images: Tensor) -> list[bytes]:
    """A hash of each image's shape and values as float32."""
    shape = str(tuple(images.shape[1:])).encode()
    return [
        hashlib.sha256(shape + image.float().contiguous().numpy().data).digest() for image in images.cpu()
    ]


def _remembered(keys: list[tuple[str, bytes]]) -> dict[tuple[str, bytes], Tensor]:
    with _changing:
        found = {key: _known[key] for key in keys if key in _known}
        for key in found:
            _known.move_to_end(key)
    return found


def _remember(made: dict[tuple[str, bytes], Tensor], size: int) -> None:
    with _changing:
        # A row of its own, or it would hold its batch.
        _known.update({key: row.clone() for key, row in made.items()})
        while len(_known) * size > MOST_BYTES:
            _known.popitem(last=False)
