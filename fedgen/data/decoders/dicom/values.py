"""From decoded samples to the values that they mean: modality values, black for little and white for much, RGB.

In the order of PS3.3, C.7.6.3 and C.11.1: modality transformation, then the sense of the grays, then padding. Windows
and presentation states are how somebody looked at an image, and are not applied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut

from fedgen.data.decoders.dicom.tags import groups, items, numbers, text, whole_number
from fedgen.data.decoders.guard import UnreadableError

Values = NDArray[Any]

_GRAYS = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RED", "GREEN", "BLUE")


def image_values(samples: Values, tags: Any, frame: int) -> NDArray[np.float32]:
    """The values of one frame, (H, W, 1) for gray and (H, W, 3) for colour.

    Args:
        samples: (H, W) or (H, W, 3), decoded, colour as RGB.
        tags: the dataset.
        frame: number of the frame, for its functional groups.

    Raises:
        UnreadableError: an element that says what the samples mean is damaged.
    """
    meaning = text(tags, "PhotometricInterpretation").upper()
    if meaning == "PALETTE COLOR":
        return _palette(samples, tags).astype(np.float32)
    if samples.ndim == 3:
        if samples.shape[-1] != 3:
            raise UnreadableError(f"has {samples.shape[-1]} colours a pixel: save it as gray or RGB")
        return samples.astype(np.float32)
    if meaning not in _GRAYS:
        raise UnreadableError(
            f"has the PhotometricInterpretation {meaning or 'none'}: save it as gray or RGB"
        )
    padding = _padding(samples, tags)
    values, low, high = _modality(samples, tags, frame)
    if meaning == "MONOCHROME1":
        values = low + high - values
    if padding is not None and padding.any():
        # Outside of the picture: no brighter than its darkest pixel, whatever number the scanner wrote there.
        values = np.where(padding, low if padding.all() else values[~padding].min(), values)
    return values.astype(np.float32)[..., np.newaxis]


def _modality(samples: Values, tags: Any, frame: int) -> tuple[Values, float, float]:
    """Modality values, and the lowest and highest that the stored bits can mean."""
    if samples.dtype.kind == "f":
        least, most = float(samples.min()), float(samples.max())
    else:
        least, most = _stored_range(tags)
    if items(tags, "ModalityLUTSequence"):
        looked_up, depth = _modality_lut(samples, tags)
        return looked_up.astype(np.float64), 0.0, float(2**depth - 1)
    slope, intercept = _rescale(tags, frame)
    if (slope, intercept) == (1.0, 0.0):
        return samples.astype(np.float64), least, most
    ends = sorted((least * slope + intercept, most * slope + intercept))
    return samples.astype(np.float64) * slope + intercept, ends[0], ends[1]


def _stored_range(tags: Any) -> tuple[float, float]:
    bits = whole_number(tags, "BitsStored", whole_number(tags, "BitsAllocated", 16))
    if whole_number(tags, "PixelRepresentation", 0) == 1:
        return float(-(2 ** (bits - 1))), float(2 ** (bits - 1) - 1)
    return 0.0, float(2**bits - 1)


def _modality_lut(samples: Values, tags: Any) -> tuple[Values, int]:
    item = items(tags, "ModalityLUTSequence")[0]
    entries, first, depth = (int(number) for number in numbers(item, "LUTDescriptor"))
    # pydicom makes tables of whole bytes; tables of 9 to 15 bits are 16 bits wide.
    table, own = Dataset(), Dataset()
    table.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries, first, 8 if depth <= 8 else 16])
    table.add(item["LUTData"])
    own.add_new("ModalityLUTSequence", "SQ", [table])
    own.file_meta = tags.file_meta
    return apply_modality_lut(samples.astype(np.int64), own), depth


def _rescale(tags: Any, frame: int) -> tuple[float, float]:
    """Slope and intercept of the frame, of all frames, or of the image."""
    for item in (*groups(tags, frame, "PixelValueTransformationSequence"), tags):
        slope, intercept = numbers(item, "RescaleSlope"), numbers(item, "RescaleIntercept")
        if slope or intercept:
            if slope[:1] == (0.0,):
                raise UnreadableError("has the RescaleSlope 0, which makes all of its values one: correct it")
            return (*slope, 1.0)[0], (*intercept, 0.0)[0]
    return 1.0, 0.0


def _padding(samples: Values, tags: Any) -> NDArray[np.bool_] | None:
    """Where the samples are no picture but padding: PixelPaddingValue, or from it to PixelPaddingRangeLimit."""
    for keyword in ("PixelPaddingValue", "FloatPixelPaddingValue", "DoubleFloatPixelPaddingValue"):
        stated = numbers(tags, keyword)
        if not stated:
            continue
        limit = numbers(tags, keyword.replace("Value", "RangeLimit")) or stated
        low, high = sorted((_as_stored(stated[0], samples, tags), _as_stored(limit[0], samples, tags)))
        return (samples >= low) & (samples <= high)
    return None


def _as_stored(value: float, samples: Values, tags: Any) -> float:
    # Written as unsigned where the samples are signed, or with bits beyond those stored, as old software does.
    if samples.dtype.kind == "f":
        return value
    least, most = (int(end) for end in _stored_range(tags))
    return least + (int(value) - least) % (most - least + 1)


def _palette(samples: Values, tags: Any) -> NDArray[np.uint8]:
    """RGB of 8 bits from a palette of 8 bits, of 8 bits in words, or of 16 bits (PS3.3, C.7.6.3.1.5)."""
    descriptor = numbers(tags, "RedPaletteColorLookupTableDescriptor")
    if len(descriptor) != 3:
        raise UnreadableError("has no palette for its palette colours")
    entries, first, depth = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    if "RedPaletteColorLookupTableData" in tags:
        table = np.stack([_table(tags, colour, entries) for colour in _COLOURS], axis=-1)
    elif entries <= 2**depth:
        table = apply_color_lut(np.arange(first, first + entries, dtype=np.int32), tags)[:, :3].astype(
            np.int64
        )
    else:
        raise UnreadableError(f"has a palette of {entries} entries of {depth} bits, which cannot be read")
    # Where all entries are below 256, they are of 8 bits, whatever the descriptor says.
    if table.max() > 255:
        table = table >> 8
    return table[np.clip(samples.astype(np.int64) - first, 0, len(table) - 1)].astype(np.uint8)


def _table(tags: Any, colour: str, entries: int) -> NDArray[np.int64]:
    element = tags[f"{colour.title()}PaletteColorLookupTableData"]
    data = element.value
    if not isinstance(data, bytes):
        return np.atleast_1d(np.array(data, np.int64))[:entries]
    order = ">" if tags.original_encoding[1] is False else "<"
    if len(data) >= 2 * entries:
        return np.frombuffer(data[: 2 * entries], f"{order}u2").astype(np.int64)
    # 8 bits an entry, two of them in a word; an odd number is padded.
    if element.VR == "OW":
        data = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2").astype("<u2").tobytes()
    return np.frombuffer(data, np.uint8)[:entries].astype(np.int64)
