"""A model and a release out of the one float32 vector that carries them, with strict checks on what came."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from fedgen.errors import FederationError

#: More classes than any study has.
MAX_LABEL = 2**16


def unpack(vector: Tensor, parameters: int, shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """The model (P,), images (n, C, H, W) and labels (n,) of an `Assess` (its `vector` is the way there).

    Args:
        vector: (P + n * C * H * W + n,) float32.
        parameters: P.
        shape: n, C, H, W.

    Raises:
        FederationError: the sizes do not fit, a pixel is none that a release can hold, or a label is no class index.
    """
    n, pixels = shape[0], math.prod(shape)
    if vector.shape[0] != parameters + pixels + n:
        raise FederationError(
            f"A model and a release came as {vector.shape[0]} values where their sizes make "
            f"{parameters + pixels + n}: both sides must run the same version."
        )
    model, images, labels = vector.split([parameters, pixels, n])
    check_pixels(images)
    if not bool(((labels >= 0) & (labels < MAX_LABEL) & (labels == labels.floor())).all()):
        raise FederationError("A release came with labels that are no class index: synthesize it again.")
    return model.clone(), images.reshape(tuple(shape)).clone(), labels.long()


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
