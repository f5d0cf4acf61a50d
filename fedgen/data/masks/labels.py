"""What the values of a mask mean: numbers of classes, a picture of black and white, or probabilities."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.stored_mask import StoredMask, Values

#: Classes are uint8.
MOST_CLASSES = 255
#: A picture with more levels than these, white among them, has soft edges; with fewer they may be classes.
_SOFT = 16
#: More different values than these are a picture of a patient, not of classes.
_MOST_LEVELS = 200
_WHITE, _WHITE_16 = 255, 65535
_HALF = 128
#: Numbers of classes that went through a scale are this close to whole numbers.
_ROUNDING = 1e-3


class MaskMark(IntFlag):
    """What was done to the mask of an image; 0 where the image has none."""

    PRESENT = 1
    HALVED = 2
    PROBABLE = 4
    INDEXED = 8
    RESAMPLED = 16
    PARTIAL = 32


def class_labels(mask: StoredMask) -> tuple[NDArray[np.uint8], MaskMark]:
    """The class of every pixel, 0 outside of all, and by which rule.

    Whole numbers up to 255 are numbers of classes, but 0 and 255 alone (or 0 and 65535 of a picture) are outside and
    inside. A picture with soft edges, or changed by lossy compression, is cut at half of its range (128); values
    between 0 and 1 are probabilities, cut at 0.5.

    Returns:
        (D, H, W) uint8, and the mark.

    Raises:
        UnreadableError: the values have more than one meaning, or none.
    """
    values = mask.values
    # NaN and infinity both survive a sum.
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise UnreadableError("is a mask with values that are NaN or infinite: repair or exclude it")
    if values.min() < 0:
        raise UnreadableError(
            f"is a mask with values below zero ({values.min():g}): number its classes from 0"
        )
    rounded = np.rint(values)
    if np.abs(values - rounded).max() > _ROUNDING:
        return _probabilities(values)
    levels = np.unique(rounded).astype(np.int64)
    top = int(levels[-1])
    if not mask.exact:
        return _lossy(rounded, top)
    if not mask.indexed and (
        set(levels.tolist()) <= {0, _WHITE} or (mask.drawn and set(levels.tolist()) <= {0, 65535})
    ):
        return (rounded > 0).astype(np.uint8), MaskMark.PRESENT
    if mask.drawn and not mask.indexed and top == _WHITE:
        return _soft(rounded, levels)
    if top > MOST_CLASSES:
        raise UnreadableError(
            f"is a mask with numbers of classes up to {top}, of which at most {MOST_CLASSES} are kept: number them anew"
        )
    if len(levels) > _MOST_LEVELS:
        raise UnreadableError(
            f"has {len(levels)} different values, so it is an image and no mask: name its mask"
        )
    mark = MaskMark.PRESENT | (MaskMark.INDEXED if mask.indexed else MaskMark(0))
    return rounded.astype(np.uint8), mark


def _probabilities(values: Values) -> tuple[NDArray[np.uint8], MaskMark]:
    if values.max() > 1 + _ROUNDING:
        between = values[np.abs(values - np.rint(values)) > _ROUNDING][0]
        raise UnreadableError(
            f"is a mask with values between its classes, such as {between:g}, as interpolation makes them: save it "
            "with nearest neighbours, or probabilities between 0 and 1"
        )
    return (values >= 0.5).astype(np.uint8), MaskMark.PRESENT | MaskMark.PROBABLE


def _lossy(rounded: Values, top: int) -> tuple[NDArray[np.uint8], MaskMark]:
    if 0 < top < _HALF or top > _WHITE:
        raise UnreadableError(
            f"is a mask of values up to {top} in a format that changes values (JPEG): save the numbers of its classes "
            "as PNG"
        )
    return (rounded >= _HALF).astype(np.uint8), MaskMark.PRESENT | MaskMark.HALVED


def _soft(rounded: Values, levels: NDArray[np.int64]) -> tuple[NDArray[np.uint8], MaskMark]:
    if len(levels) <= _SOFT:
        raise UnreadableError(
            f"is a mask with the levels {', '.join(map(str, levels))}, which may be classes or soft edges: save the "
            "numbers of its classes, or black and white alone"
        )
    return (rounded >= _HALF).astype(np.uint8), MaskMark.PRESENT | MaskMark.HALVED
