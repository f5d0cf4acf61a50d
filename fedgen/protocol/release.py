"""What images, masks and labels of a release can be; a message that carries others is refused."""

from __future__ import annotations

import hashlib

import numpy as np
from torch import Tensor

from fedgen.errors import FederationError

#: More classes than any study has.
MAX_LABEL = 2**16


def released_sha256(images: Tensor, labels: Tensor, masks: Tensor | None) -> str:
    """SHA-256 (hex) of a release as it was drawn: what a site signs, and what the tensors of a release are checked by.

    Args:
        images: (n, C, *size) float32, each value one of float16.
        labels: (n,) class index.
        masks: (n, 1, *size) classes, or None.
    """
    parts = [(images, "<f4"), (labels, "<i8"), *([] if masks is None else [(masks, "u1")])]
    digest = hashlib.sha256("/".join(str(tuple(part.shape)) for part, _ in parts).encode())
    for part, kind in parts:
        digest.update(np.ascontiguousarray(part.numpy(), kind).data)
    return digest.hexdigest()


def check_pixels(images: Tensor) -> None:
    """Refuse pixels that no release holds: outside [-1, 1], not finite, or finer than its float16.

    A site audits exactly what is released, so nothing may be hidden below the release's own precision.

    Raises:
        FederationError: with what is wrong.
    """
    if not bool((images.abs() <= 1).all()):
        raise FederationError(
            "A release came with pixels that are not finite or outside [-1, 1]: synthesize it again."
        )
    if not bool((images == images.half().float()).all()):
        raise FederationError(
            "A release came with pixels finer than float16, so it is not what is released: synthesize it again."
        )


def check_masks(masks: Tensor) -> None:
    """Refuse masks, (n, 1, *size) float32, that hold anything but classes from 0 to 255.

    Raises:
        FederationError: a value is negative, a fraction, not finite or above 255.
    """
    if not bool(((masks >= 0) & (masks <= 255) & (masks == masks.floor())).all()):
        raise FederationError("A release came with masks that are no classes: synthesize it again.")


def check_labels(labels: Tensor) -> None:
    """Refuse labels, (n,) float32, that are no class index.

    Raises:
        FederationError: one is negative, a fraction, not finite, or above any number of classes.
    """
    if not bool(((labels >= 0) & (labels < MAX_LABEL) & (labels == labels.floor())).all()):
        raise FederationError("A release came with labels that are no class index: synthesize it again.")
