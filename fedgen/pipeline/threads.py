"""How many threads a stage's tensor work uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: Below this many pixels an image, a second thread waits more than it works, above all on a busy machine.
SMALL_IMAGE = 128 * 128


@contextmanager
def suited_to(image_size: tuple[int, ...]) -> Iterator[None]:
    """One thread for small images, torch's own choice for others, within the block."""
    before = torch.get_num_threads()
    if math.prod(image_size) <= SMALL_IMAGE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
