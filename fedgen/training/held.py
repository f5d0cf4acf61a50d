"""What networks and an objective hold from one step to the next: parameters, buffers, and whatever lies beside them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedgen.families.contract import Objective

#: Owner (a network's name, or "" of an objective), path of the module, and name, to a copy of what it was.
Held = dict[tuple[str, str, str], Any]


def registered(networks: Mapping[str, nn.Module]) -> Held:
    """Copies of all parameters and buffers."""
    return {
        (network, path, name): tensor.detach().clone()
        for network, path, part in _parts(networks)
        for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
    }


def beside(networks: Mapping[str, nn.Module], objective: Objective) -> Held:
    """Copies of the other tensors and numbers that are held, also in lists, dictionaries and an objective's modules.

    Not of whole numbers, which count calls.
    """
    found: Held = {("", "", name): _copied(value) for name, value in vars(objective).items()}
    for network, path, part in _parts(networks):
        # torch's own books of a module begin with an underscore.
        own = {name: value for name, value in vars(part).items() if not name.startswith("_")}
        found |= {(network, path, name): _copied(value) for name, value in own.items()}
    return found


def _parts(networks: Mapping[str, nn.Module]) -> Iterator[tuple[str, str, nn.Module]]:
    for network, module in networks.items():
        for path, part in module.named_modules():
            yield network, path, part


def changed(before: Held, after: Held) -> list[tuple[str, str, str]]:
    """What was there before and is another now; what has come since may be a cache of what is always the same."""
    return [key for key, value in before.items() if not _same(value, after.get(key))]


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value)) if value.dtype.kind in "fiub" else None
    if isinstance(value, nn.Module):
        return _copied({**dict(value.named_parameters()), **dict(value.named_buffers())})
    if isinstance(value, Mapping):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list | tuple | deque):
        return [_copied(part) for part in value]
    return value if isinstance(value, float) else None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and _all_same(zip(a, b, strict=True))
    return type(a) is type(b) and (a == b or a != a)


def _all_same(pairs: Iterable[tuple[Any, Any]]) -> bool:
    return all(_same(a, b) for a, b in pairs)
