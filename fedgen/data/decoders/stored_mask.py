"""A mask as its file holds it, before anybody says what its values mean or where it lies on an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.guard import UnreadableError
from fedgen.data.index import Affine

Values = NDArray[np.float32]
#: Gray that went through the colours of a lossy format comes back with channels this close.
_ROUNDING = 8


@dataclass(frozen=True)
class StoredMask:
    """All slices of a mask file.

    Attributes:
        values: (D, H, W), D = 1 for a picture.
        affine: from (slice, row, column) to mm in the patient, as `Header.affine`; None where the file does not say.
        drawn: whether it is a picture, in whose levels a mask is drawn, rather than numbers of classes.
        exact: whether every value is as it was written; JPEG and its like change them.
        indexed: whether the values are the places of colours in a palette.
    """

    values: Values
    affine: Affine | None = None
    drawn: bool = False
    exact: bool = True
    indexed: bool = False


def one_channel(pixels: Values, exact: bool) -> Values:
    """(D, H, W) of (D, H, W, c): gray stored as colour, or one colour on black, which becomes 255.

    Raises:
        UnreadableError: several colours, of which nothing says the classes.
    """
    if pixels.shape[-1] == 1 or (pixels == pixels[..., :1]).all():
        return np.asarray(pixels[..., 0])
    if exact:
        colours = np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)
        if len(colours) <= 2 and not colours[0].any():
            return np.asarray(pixels.any(axis=-1) * 255, dtype=np.float32)
    elif np.ptp(pixels, axis=-1).max() <= _ROUNDING:
        return np.asarray(pixels.mean(axis=-1).round(), dtype=np.float32)
    raise UnreadableError(
        "is a mask in colours, of which nothing says the classes: save the numbers of the classes, in gray or with a "
        "palette"
    )
