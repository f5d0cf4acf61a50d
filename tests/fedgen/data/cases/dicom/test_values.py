"""What DICOM means by its samples: tables, slopes, inverted grays, padding, palettes, floats."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER

WriteDicom = Callable[..., Dataset]
RAMP = np.arange(24, dtype=np.uint16).reshape(4, 6)


def values(path: Path) -> np.ndarray:
    return DECODER.pixels(path, None)


@pytest.fixture
def stored(write_dicom: WriteDicom, tmp_path: Path) -> Callable[..., np.ndarray]:
    """stored(pixels, ...) -> the values of a file of them."""

    def make(pixels: np.ndarray | None, **given: object) -> np.ndarray:
        write_dicom(tmp_path / "a.dcm", pixels, **given)
        return values(tmp_path / "a.dcm")

    return make


def modality_lut(first: int, bits: int, table: np.ndarray) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(table), first, bits])
        item.add_new("LUTData", "US", table.tolist())
        item.ModalityLUTType = "US"
        dataset.ModalityLUTSequence = Sequence([item])

    return change


@pytest.mark.parametrize(
    ("bits", "first", "kind"), [(16, 1000, "u2"), (12, 1000, "u2"), (16, -5, "i2"), (8, 0, "u1")]
)
@pytest.mark.parametrize("meaning", ["MONOCHROME1", "MONOCHROME2"])
def test_a_modality_table_comes_before_the_sense_of_the_grays(
    stored, bits: int, first: int, kind: str, meaning: str
) -> None:
    table = (np.arange(20) ** 2 % 2**bits).astype(np.uint16)
    # Below its first value the first entry counts, above its last the last.
    pixels = (np.arange(24).reshape(4, 6) + max(first - 2, -7 if kind == "i2" else 0)).astype(kind)
    looked_up = table[np.clip(pixels.astype(int) - first, 0, 19)].astype(int)
    got = stored(pixels, PhotometricInterpretation=meaning, change=modality_lut(first, bits, table))[
        0, ..., 0
    ]
    np.testing.assert_array_equal(got, looked_up if meaning == "MONOCHROME2" else 2**bits - 1 - looked_up)


@pytest.mark.parametrize(
    ("pixels", "bits", "slope", "intercept", "expected"),
    [
        (RAMP, 12, 1, 0, 4095 - RAMP.astype(float)),
        (RAMP, 12, 2, -10, 2 * (4095 - RAMP.astype(float)) - 10),
        (RAMP, 12, -1, 0, -4095 + RAMP.astype(float)),
        (RAMP.astype(np.int16) - 5, 16, 1, 0, -1 - (RAMP.astype(float) - 5)),
        (RAMP.astype(np.uint8), 8, 1, 0, 255 - RAMP.astype(float)),
    ],
)
def test_inverted_grays_are_mirrored_within_what_the_bits_can_mean(
    stored, pixels, bits, slope, intercept, expected
) -> None:
    got = stored(
        pixels,
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=bits,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
    )
    np.testing.assert_allclose(got[0, ..., 0], expected)


def test_a_slope_alone_counts_and_one_of_nothing_is_refused(stored) -> None:
    np.testing.assert_allclose(stored(RAMP, RescaleSlope=0.5)[0, ..., 0], RAMP / 2)
    np.testing.assert_allclose(stored(RAMP, RescaleIntercept=-3)[0, ..., 0], RAMP - 3.0)
    with pytest.raises(UnreadableError, match="RescaleSlope 0"):
        stored(RAMP, RescaleSlope=0, RescaleIntercept=1)


@pytest.mark.parametrize("where", ["own", "shared", "both"])
def test_the_slope_of_a_frame_is_its_own_then_the_shared_one_then_that_of_the_image(
    stored, where: str
) -> None:
    def item(slope: float, intercept: float) -> Sequence:
        transformation = Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = slope, intercept
        holder = Dataset()
        holder.PixelValueTransformationSequence = Sequence([transformation])
        return holder

    def change(dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 100, 0
        if where != "own":
            dataset.SharedFunctionalGroupsSequence = Sequence([item(3, 1)])
        own = (
            [item(1, 0), item(2, 10), item(0.5, -50)] if where != "shared" else [Dataset() for _ in range(3)]
        )
        dataset.PerFrameFunctionalGroupsSequence = Sequence(own)

    frames = np.stack([RAMP, RAMP + 1, RAMP + 2])
    slopes = [(3, 1)] * 3 if where == "shared" else [(1, 0), (2, 10), (0.5, -50)]
    expected = [
        frame * slope + intercept
        for frame, (slope, intercept) in zip(frames.astype(float), slopes, strict=True)
    ]
    np.testing.assert_allclose(stored(frames, change=change)[..., 0], expected)


@pytest.mark.parametrize(
    ("tags", "outside"),
    [
        ({"PixelPaddingValue": 0}, [0]),
        ({"PixelPaddingValue": 20, "PixelPaddingRangeLimit": 23}, [20, 21, 22, 23]),
        ({"PixelPaddingValue": 23, "PixelPaddingRangeLimit": 20}, [20, 21, 22, 23]),
        ({"PixelPaddingValue": 40}, []),
        # As an unsigned 16-bit number, of which 12 bits are stored.
        ({"PixelPaddingValue": 4096 + 3}, [3]),
    ],
)
@pytest.mark.parametrize("meaning", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_no_brighter_than_the_picture(
    stored, tags: dict[str, int], outside: list[int], meaning: str
) -> None:
    padding = np.isin(RAMP, outside)
    got = stored(RAMP, BitsStored=12, PhotometricInterpretation=meaning, **tags)[0, ..., 0]
    expected = RAMP.astype(float) if meaning == "MONOCHROME2" else 4095.0 - RAMP
    expected[padding] = expected[~padding].min()
    np.testing.assert_array_equal(got, expected)


def test_padding_of_signed_samples_and_of_a_whole_image(stored) -> None:
    signed = RAMP.astype(np.int16) - 10
    signed[0] = -2000
    got = stored(signed, PixelPaddingValue=-2000)[0, ..., 0]
    np.testing.assert_array_equal(got[0], np.full(6, -4))
    np.testing.assert_array_equal(stored(np.full((4, 6), 7, np.uint16), PixelPaddingValue=7), 0)


def palette(change: Callable[[Dataset, int], None]) -> Callable[[Dataset], None]:
    def both(dataset: Dataset) -> None:
        dataset.PhotometricInterpretation = "PALETTE COLOR"
        for number in range(3):
            change(dataset, number)

    return both


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("kind", ["8", "8 in words", "16", "8 called 16"])
def test_palettes_of_every_width(stored, syntax, kind: str) -> None:
    colours = (np.arange(24)[:, None] * (10, 7, 3) % 256).astype(np.uint8)
    order = "<" if syntax.is_little_endian else ">"

    def change(dataset: Dataset, number: int) -> None:
        own = colours[:, number].copy()
        dataset.add_new(0x00281101 + number, "US", [24, 2, 8 if kind in ("8", "8 in words") else 16])
        if kind == "8":
            # Two entries make a word, whose bytes have the order of the syntax.
            data = own.view("<u2").astype(f"{order}u2").tobytes()
        else:
            data = (own.astype(int) * (256 if kind == "16" else 1)).astype(f"{order}u2").tobytes()
        dataset.add_new(0x00281201 + number, "OW", data)

    # The first value of the palette is 2: below it the first colour counts, above its last the last.
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    got = stored(pixels, syntax=syntax, change=palette(change))[0]
    np.testing.assert_array_equal(got, colours[np.clip(np.arange(30) - 2, 0, 23)].reshape(5, 6, 3))


def test_a_palette_in_segments(stored) -> None:
    # Discrete entries 0 and 51, then a line of 4 entries to 255 (PS3.3, C.7.9.2).
    segments = struct.pack("<8H", 0, 2, 0, 51 * 256, 1, 4, 255 * 256, 0)[:14]

    def change(dataset: Dataset, number: int) -> None:
        dataset.add_new(0x00281101 + number, "US", [6, 0, 16])
        dataset.add_new(0x00281221 + number, "OW", segments)

    got = stored(np.arange(6, dtype=np.uint8).reshape(2, 3), change=palette(change))
    np.testing.assert_array_equal(got[0, ..., 0].ravel(), [0, 51, 102, 153, 204, 255])


@pytest.mark.parametrize(
    ("keyword", "kind"), [("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)]
)
def test_float_samples(stored, keyword: str, kind: type) -> None:
    pixels = (np.arange(24).reshape(4, 6) / 7 - 1).astype(kind)

    def change(dataset: Dataset) -> None:
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 6, 1
        dataset.PhotometricInterpretation, dataset.BitsAllocated = "MONOCHROME2", 8 * pixels.itemsize
        setattr(dataset, keyword, pixels.tobytes())

    np.testing.assert_allclose(stored(None, change=change)[0, ..., 0], pixels, rtol=1e-6)


def test_samples_that_end_above_the_lowest_bit(stored) -> None:
    # 12 bits of 16, the lowest four of another's, as ACR-NEMA allows; and overlays in bits above those stored.
    high = (RAMP << 4 | 0b1010).astype(np.uint16)
    np.testing.assert_array_equal(stored(high, BitsStored=12, HighBit=15)[0, ..., 0], RAMP)
    signed = ((RAMP.astype(np.int16) - 12) << 4 | 0b1010).astype(np.int16)
    np.testing.assert_array_equal(
        stored(signed, BitsStored=12, HighBit=15)[0, ..., 0], RAMP.astype(float) - 12
    )
    np.testing.assert_array_equal(stored((RAMP | 0x5000).astype(np.uint16), BitsStored=12)[0, ..., 0], RAMP)


def test_gray_of_a_kind_that_is_not_known_is_refused(stored) -> None:
    with pytest.raises(UnreadableError, match="PhotometricInterpretation"):
        stored(RAMP, PhotometricInterpretation="HSV")
    with pytest.raises(UnreadableError, match="no palette"):
        stored(RAMP, PhotometricInterpretation="PALETTE COLOR")
