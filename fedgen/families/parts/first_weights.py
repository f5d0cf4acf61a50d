"""First weights of networks, by a seed, whatever other threads draw at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import TypeVar

import torch

T = TypeVar("T")

#: First weights come from torch's global generator, which all threads share; what is built may build others within.
_drawing = RLock()


def first_weights(build: Callable[[], T], seed: int) -> T:
    """What `build` makes with torch's global generator at `seed`, which is left as it was."""
    with generators_kept():
        torch.manual_seed(seed)
        return build()


@contextmanager
def generators_kept(devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Torch's global generator, and those of `devices`, are after the block what they were before it."""
    with _drawing, torch.random.fork_rng(devices=list(devices)):
        yield
