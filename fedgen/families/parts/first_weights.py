"""First weights of a small network, by a seed, whatever other threads draw at the same time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)

#: First weights come from torch's global generator, which all threads share.
_drawing = Lock()


def first_weights(build: Callable[[], N], seed: int) -> N:
    """What `build` makes with torch's global generator at `seed`, which is left as it was."""
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
