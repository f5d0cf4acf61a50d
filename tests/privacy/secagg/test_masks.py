"""Mask streams: uniform over the ring, independent of one another, and off again to the last bit."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen_privacy.secagg import Phase, keys
from fedgen_privacy.secagg.masks import CHUNK_BYTES, Masks, chunks, mask_words
from fedgen_privacy.secagg.payload import PayloadLayout

SIX_SIGMA = 6.0


def stream(key: bytes, bits: int, lanes: int) -> Any:
    """The mask of one key as `lanes` ring elements, chunk by chunk."""
    out = np.zeros(lanes, dtype=f"<u{bits // 8}")
    masks = Masks([key], [])
    for piece in chunks(out):
        masks.apply(out[piece])
    return out


def test_every_value_of_a_16_bit_ring_is_reached_equally_often() -> None:
    """The last value too: Flower's exclusive bound never draws it."""
    lanes = 2**21
    counts = np.bincount(stream(bytes(range(32)), 16, lanes), minlength=2**16)
    assert counts.min() > 0
    assert counts[2**16 - 1] > 0
    expected = lanes / 2**16
    statistic = float(((counts - expected) ** 2 / expected).sum())
    # Chi-square of 65535 degrees of freedom: mean 65535, standard deviation sqrt(2 * 65535).
    assert abs(statistic - 65535) < SIX_SIGMA * math.sqrt(2 * 65535)


def test_a_32_bit_ring_is_filled_evenly_and_to_its_last_value() -> None:
    lanes = 2**20
    values = stream(bytes(range(1, 33)), 32, lanes)
    for shift in (0, 8, 16, 24):
        counts = np.bincount((values >> shift) & 255, minlength=256)
        statistic = float(((counts - lanes / 256) ** 2 / (lanes / 256)).sum())
        assert abs(statistic - 255) < SIX_SIGMA * math.sqrt(2 * 255)
    # No lane is cut off at the top: of n uniform values the largest falls short by about 2^32 / n.
    assert 2**32 - int(values.max()) < 20 * 2**32 / lanes
    assert int(values.min()) < 20 * 2**32 / lanes
    assert abs(values.mean() / 2**32 - 0.5) < SIX_SIGMA / math.sqrt(12 * lanes)


def test_the_largest_ring_value_wraps_when_masked_and_comes_back() -> None:
    for bits in (16, 32):
        lanes = np.full(1000, 2**bits - 1, dtype=f"<u{bits // 8}")
        Masks([bytes(32)], []).apply(lanes)
        np.testing.assert_array_equal(lanes, stream(bytes(32), bits, 1000) - np.ones(1, lanes.dtype))


def test_streams_of_pairs_rounds_and_labels_are_unrelated() -> None:
    """Same shared secret throughout, so that only the derivation tells the streams apart."""
    shared, sessions = bytes(range(32)), [bytes([round]) * 32 for round in (1, 2)]
    derived = {
        ("pair", s, a, b): keys.pair_mask_key(shared, s, a, b)
        for s in sessions
        for a, b in itertools.combinations(range(4), 2)
    }
    derived |= {("self", s, a): keys.self_mask_key(shared, s, a) for s in sessions for a in range(4)}
    derived |= {
        ("channel", s, a, b): keys.derive(shared, s, b"channel" + bytes([0, a, 0, b]))
        for s in sessions
        for a, b in itertools.permutations(range(4), 2)
    }
    assert len(set(derived.values())) == len(derived) == 2 * (6 + 4 + 12)
    bits = 2**15
    streams = [np.unpackbits(stream(key, 16, bits // 16).view(np.uint8)) for key in derived.values()]
    for one, two in itertools.combinations(streams, 2):
        assert abs(float(np.mean(one ^ two)) - 0.5) < 7 * 0.5 / math.sqrt(bits)


def test_a_pairs_key_is_the_same_from_both_sides_and_no_other_pairs() -> None:
    one, two = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    shared = [keys.agree(a, b.public_key().public_bytes_raw()) for a, b in ((one, two), (two, one))]
    assert shared[0] == shared[1] is not None
    assert keys.pair_mask_key(shared[0], bytes(32), 3, 9) == keys.pair_mask_key(shared[1], bytes(32), 9, 3)


@settings(max_examples=60, database=None)
@given(
    bits=st.sampled_from([16, 32]),
    length=st.one_of(st.integers(1, 40), st.sampled_from([65535, 65537, 131071, 131073])),
    metrics=st.integers(0, 3),
    add=st.integers(0, 3),
    subtract=st.integers(0, 3),
)
def test_a_mask_comes_off_again_and_is_the_references(
    reference: Any, bits: int, length: int, metrics: int, add: int, subtract: int
) -> None:
    layout = PayloadLayout(bits, length, 2 + metrics)
    plain = np.random.default_rng(length).integers(0, 2**32, layout.words, dtype=np.uint32)
    ups, downs = ([bytes([kind, k]) * 16 for k in range(n)] for kind, n in ((1, add), (2, subtract)))
    masked = plain.copy()
    mask_words(masked, layout, ups, downs)
    np.testing.assert_array_equal(masked, reference.masked(plain, layout.body_words, bits, ups, downs))
    mask_words(masked, layout, downs, ups)
    np.testing.assert_array_equal(masked, plain)


def test_no_stream_starts_again_at_a_chunk_or_at_the_tail(reference: Any) -> None:
    layout = PayloadLayout(32, CHUNK_BYTES // 4 + 3, 4)
    words = layout.zeros()
    mask_words(words, layout, [bytes(32)], [])
    assert words.tobytes() == reference.stream(bytes(32), words.nbytes)
    blocks = words[: len(words) // 4 * 4].reshape(-1, 4)
    assert len(np.unique(blocks, axis=0)) == len(blocks)


@pytest.mark.parametrize("bits", [16, 32])
def test_a_masked_upload_looks_uniform_whatever_is_inside(drill: Any, contribution: Any, bits: int) -> None:
    length = 20_000
    same = contribution(np.full(length, 0.25, np.float32), 1, (0.0, 0.0))
    session = drill(
        at={"contributions": {f"site{k:02d}": same for k in range(4)}}, length=length, ring_bits=bits
    )
    session.until(Phase.CONFIRM)
    ones = {name: np.unpackbits(words.view(np.uint8)) for name, words in session.uploads.items()}
    limit = 7 * 0.5 / math.sqrt(len(ones["site00"]))
    for name, mine in ones.items():
        assert abs(float(mine.mean()) - 0.5) < limit
        for other, theirs in ones.items():
            assert name == other or abs(float(np.mean(mine ^ theirs)) - 0.5) < limit
