"""From stored values to network input: colour, window, size. Pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedgen.data.decoders.decoder import Pixels, UnreadableError
from fedgen.study.data import Intensity
from fedgen.task.image_spec import Spacing

#: Spacings that differ by less than this leave the pixel grid as it is.
_ISOTROPIC = 0.01
#: A window is wrong when more than this share of an image lies above it by more than its own width.
_CLEARLY_ABOVE = 0.25


def to_channels(pixels: Pixels, channels: int) -> Pixels:
    """Check or reduce the colour of (n, H, W, c) to `channels`.

    An RGB file whose three channels are equal counts as gray.

    Raises:
        UnreadableError: coloured where gray is asked, gray where RGB is asked, or a pixel is not finite.
    """
    refuse_non_finite(pixels)
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 1:
        if (pixels == pixels[..., :1]).all():
            return pixels[..., :1]
        raise UnreadableError(
            "is in colour but data.channels is 1: convert it to gray or set data.channels to 3"
        )
    raise UnreadableError("is gray but data.channels is 3: set data.channels to 1")


def refuse_non_finite(pixels: Pixels) -> None:
    """Refuse NaN and infinity.

    Raises:
        UnreadableError: with their number.
    """
    # NaN and infinity both survive a sum of float64: one pass where all is well.
    if not np.isfinite(pixels.sum(dtype=np.float64)):
        count = int((~np.isfinite(pixels)).sum())
        raise UnreadableError(f"has {count} pixels that are NaN or infinite: repair or exclude it")


def check_window(pixels: Pixels, intensity: Intensity) -> None:
    """Refuse an image whose values plainly do not fit the window (16-bit data in an 8-bit window).

    Clipping bone in a soft-tissue window is normal; a quarter of the image beyond twice the window is not.

    Raises:
        UnreadableError: naming the largest value and the key to set.
    """
    limit = 2 * intensity.upper - intensity.lower
    if pixels.max() > limit and np.mean(pixels > limit) > _CLEARLY_ABOVE:
        raise UnreadableError(
            f"has values up to {pixels.max():g}, far above data.intensity.upper ({intensity.upper:g}): "
            "set data.intensity.upper to the top of the window you want"
        )


def window(pixels: Pixels, intensity: Intensity) -> Pixels:
    """Map [lower, upper] linearly to [-1, 1]; values outside are clamped."""
    scaled = (pixels - intensity.lower) * (2 / (intensity.upper - intensity.lower)) - 1
    return np.clip(scaled, -1, 1, dtype=np.float32)


def fitted_size(size: tuple[int, ...], spacing: Spacing | None, box: tuple[int, ...]) -> tuple[int, ...]:
    """The largest size inside `box` with the anatomy's own aspect ratio; as many axes as `box` has.

    Where the spacing is known and not the same along all axes, the aspect is that of the millimetres.
    """
    sides = [float(side) for side in size]
    if spacing is not None and max(spacing) / min(spacing) - 1 > _ISOTROPIC:
        sides = [side * millimetres for side, millimetres in zip(sides, spacing, strict=True)]
    scale = min(most / side for most, side in zip(box, sides, strict=True))
    return tuple(max(1, min(most, round(side * scale))) for most, side in zip(box, sides, strict=True))


def resize(image: Pixels, size: tuple[int, ...]) -> Pixels:
    """Antialiased bilinear resampling of (H, W, c) or (D, H, W, c) to `size`; the identity where the size agrees."""
    if image.shape[:-1] == size:
        return image
    return np.stack([_resampled(image[..., c], size) for c in range(image.shape[-1])], axis=-1)


def resize_mask(mask: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Nearest-neighbour resampling of classes (H, W) or (D, H, W) to `size`: the value at each new pixel's centre."""
    for axis, side in enumerate(size):
        old = mask.shape[axis]
        mask = mask.take(((np.arange(side) + 0.5) * (old / side)).astype(np.int64), axis)
    return mask


def _resampled(array: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Pillow's filters are separable, so that a volume is resampled slice by slice, and then along its depth."""
    how = Image.Resampling.BILINEAR
    *depth, height, width = size
    if not depth:
        return np.asarray(Image.fromarray(array).resize((width, height), how))
    slices = np.stack([np.asarray(Image.fromarray(each).resize((width, height), how)) for each in array])
    rows = Image.fromarray(slices.reshape(len(array), height * width))
    return np.asarray(rows.resize((height * width, depth[0]), how)).reshape(depth[0], height, width)


def centre(image: NDArray[np.generic], box: tuple[int, ...], fill: float) -> NDArray[np.generic]:
    """Pad the first axes of `image` to `box` with `fill`, the image in the centre."""
    padded = np.full((*box, *image.shape[len(box) :]), fill, dtype=image.dtype)
    inside = tuple(
        slice((most - side) // 2, (most - side) // 2 + side)
        for most, side in zip(box, image.shape[: len(box)], strict=True)
    )
    padded[inside] = image
    return padded
