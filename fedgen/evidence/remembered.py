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
_busy: dict[Hashable, Lock] = {}
_changing = Lock()
#: Of tensors that are still held by somebody, by which of them it is: what was asked to (version, answer).
_of_tensors: Any = WeakIdKeyDictionary()


def once(key: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` gave for an equal key before; who asks while another computes it waits for that.

    Args:
        key: names the answer.
        compute: gives it, without asking `once` for another.
    """
    with _changing:
        busy = _busy.setdefault(key, Lock())
    with busy:
        with _changing:
            if key in _known:
                known: T = _known[key]
                return known
        found = compute()
        with _changing:
            while len(_known) >= KEPT:
                _known.pop(next(iter(_known)))
            _known[key] = found
            _busy.pop(key, None)
    return found


def content(*tensors: Tensor) -> str:
    """Shapes and hashes of tensors' values; a tensor that is asked for again, unchanged, is not read again."""
    return " ".join(map(_content, tensors))


def _content(tensor: Tensor) -> str:
    def read() -> str:
        return f"{tuple(tensor.shape)} {hashlib.sha256(tensor.contiguous().numpy().data).hexdigest()}"

    return of_tensor("content", tensor, read)


def of_tensor(name: str, tensor: Tensor, compute: Callable[[], T]) -> T:
    """What `compute` gave for this very tensor before, while it is held and unchanged; by the name of what is asked."""
    if tensor.is_inference():
        # Of such torch counts no changes.
        return compute()
    with _changing:
        known: dict[str, tuple[int, T]] = _of_tensors.get(tensor, {})
        version, found = known.get(name, (-1, None))
    # Torch counts the changes of a tensor in place.
    if version == tensor._version and found is not None:
        return found
    made = compute()
    with _changing:
        _of_tensors.setdefault(tensor, {})[name] = (tensor._version, made)
    return made
