"""What a process has learnt of a release, so that in a simulation not every site learns it anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

T = TypeVar("T")

#: Answers that are kept, the newest: those of some seeds.
KEPT = 40

_known: dict[Hashable, Any] = {}
_changing = Lock()
#: Of tensors that are still held by somebody, by which of them it is: (version, content).
_hashed: Any = WeakIdKeyDictionary()


def once(key: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` gave for an equal key before; threads that ask at the same time may each compute."""
    with _changing:
        if key in _known:
            known: T = _known[key]
            return known
    found = compute()
    with _changing:
        while len(_known) >= KEPT:
            _known.pop(next(iter(_known)))
        _known[key] = found
    return found


def content(*tensors: Tensor) -> str:
    """Shapes and hashes of tensors' values; a tensor that is asked for again, unchanged, is not read again."""
    return " ".join(map(_content, tensors))


def _content(tensor: Tensor) -> str:
    with _changing:
        version, known = _hashed.get(tensor, (-1, ""))
    # Torch counts the changes of a tensor in place.
    if version != tensor._version:
        known = f"{tuple(tensor.shape)} {hashlib.sha256(tensor.contiguous().numpy().data).hexdigest()}"
        with _changing:
            _hashed[tensor] = (tensor._version, known)
    return known
