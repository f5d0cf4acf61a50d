"""Fixed-point encoding: what is refused, how it rounds, and that no sum of honest sites overflows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen_privacy.errors import FederationError
from fedgen_privacy.secagg.encoding import GarbageError, decode_total, encode_masked, metric_bound
from fedgen_privacy.secagg.masks import Masks
from fedgen_privacy.secagg.payload import PayloadLayout


def encode(p: Any, sites: int, vector: Any, weight: Any = 1, metrics: Any = None) -> tuple[Any, int]:
    """An encoding that nothing masks."""
    values = (0.0,) * p.metrics if metrics is None else metrics
    return encode_masked(p, sites, np.asarray(vector), weight, values, Masks([], []))


def lanes_of(p: Any, words: Any) -> Any:
    """Signed lanes of the update."""
    return PayloadLayout.of(p).ring(words).view(f"<i{p.ring_bits // 8}")[: p.length]


def add(p: Any, sums: Any, words: Any) -> None:
    """Add as the coordinator does."""
    layout = PayloadLayout.of(p)
    for part in (layout.ring, layout.tail_of):
        part(sums)[:] += part(words)


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3.4e38, -3.4e38])
@pytest.mark.parametrize("place", [0, 16383, 16384, 65535, 65536, 65537])
def test_one_value_that_is_not_finite_anywhere_stops_the_whole_vector(
    parameters: Any, bad: float, place: int
) -> None:
    p = parameters(length=65538, bound=1e-3)
    vector = np.zeros(65538, np.float32)
    vector[place] = bad
    with pytest.raises(FederationError, match="not finite, and nothing of it was sent"):
        encode(p, 4, vector)


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(4, np.float32),
        np.zeros(6, np.float32),
        np.zeros((5, 1), np.float32),
        np.zeros((), np.float32),
        np.zeros(0, np.float32),
        np.zeros(5, np.float64),
        np.zeros(5, np.float16),
        np.zeros(5, np.int32),
        np.zeros(5, ">f4"),
        np.zeros(5, np.complex64),
    ],
    ids=lambda v: f"{v.shape}{v.dtype}",
)
def test_a_vector_of_another_shape_or_type_is_refused(parameters: Any, vector: Any) -> None:
    with pytest.raises(FederationError, match="An update of 5 float32 values was expected"):
        encode(parameters(), 4, vector)


@pytest.mark.parametrize("weight", [0, -1, 17, 2**40, 1.0, 1.5, math.nan])
def test_a_weight_beyond_the_cap_is_refused_and_never_clipped(parameters: Any, weight: Any) -> None:
    with pytest.raises(FederationError, match="not between 1 and the cap of 16"):
        encode(parameters(weight_cap=16), 4, np.zeros(5, np.float32), weight)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0**27 + 1, -(2.0**27) - 1])
def test_a_metric_beyond_the_bound_is_refused(parameters: Any, value: float) -> None:
    assert metric_bound(4) == 2.0**27
    with pytest.raises(FederationError, match="must be finite and at most"):
        encode(parameters(), 4, np.zeros(5, np.float32), 1, (0.0, value))


@pytest.mark.parametrize("metrics", [(), (0.0,), (0.0, 0.0, 0.0)])
def test_another_number_of_metrics_is_refused(parameters: Any, metrics: tuple[float, ...]) -> None:
    with pytest.raises(FederationError, match="metrics were given where the study sums 2"):
        encode(parameters(), 4, np.zeros(5, np.float32), 1, metrics)


# Clipping and rounding ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [16, 32])
def test_clipped_coordinates_are_counted_and_end_on_the_bound(parameters: Any, bits: int) -> None:
    length = 40_000
    p = parameters(length=length, ring_bits=bits)
    rng = np.random.default_rng(0)
    vector = rng.uniform(-0.99, 0.99, length).astype(np.float32)
    over = rng.choice(length, 1234, replace=False)
    vector[over] = rng.choice([-1, 1], 1234) * rng.uniform(1.01, 1e6, 1234)
    words, clipped = encode(p, 4, vector, 16)
    assert clipped == 1234
    levels = p.levels(4)
    limit = (
        int(np.float32(levels)) if np.float32(levels) <= levels else int(np.nextafter(np.float32(levels), 0))
    )
    np.testing.assert_array_equal(lanes_of(p, words)[over], np.sign(vector[over]) * limit)
    assert encode(p, 4, vector.clip(-0.99, 0.99), 16)[1] == 0


@settings(max_examples=150, database=None)
@given(data=st.data(), bits=st.sampled_from([16, 32]), n=st.integers(3, 50))
def test_a_coordinate_becomes_one_of_its_two_nearest_levels(
    parameters: Any, data: st.DataObject, bits: int, n: int
) -> None:
    cap = data.draw(st.sampled_from([1, 7, 1000]))
    weight = data.draw(st.integers(1, cap))
    p = parameters(
        length=7, ring_bits=bits, weight_cap=cap, bound=data.draw(st.sampled_from([1e-6, 0.7, 3e5]))
    )
    values = data.draw(st.lists(st.floats(-2, 2, width=32), min_size=7, max_size=7))
    vector = (np.array(values) * p.bound).astype(np.float32)
    lanes = lanes_of(p, encode(p, n, vector, weight)[0])
    scaled = vector.astype(np.float64).clip(-p.bound, p.bound) * (weight / cap * p.levels(n) / p.bound)
    assert np.all(np.abs(lanes - scaled) < 1 + 3 * 2.0**-24 * np.abs(scaled))
    assert np.all(np.abs(lanes.astype(np.int64)) <= math.ceil(weight / cap * p.levels(n)))


@pytest.mark.parametrize("bits", [16, 32])
def test_values_on_the_grid_are_not_rounded(parameters: Any, bits: int) -> None:
    p = parameters(length=4097, ring_bits=bits, bound=float(2 ** (bits - 3) // 4), weight_cap=1)
    whole = np.arange(-2048, 2049)
    for _ in range(5):
        np.testing.assert_array_equal(lanes_of(p, encode(p, 4, whole.astype(np.float32))[0]), whole)


@pytest.mark.parametrize("fraction", [0.001, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("whole", [-31, -1, 0, 12])
def test_rounding_has_mean_zero(parameters: Any, whole: int, fraction: float) -> None:
    count = 200_000
    p = parameters(length=count, ring_bits=16, bound=2048.0, weight_cap=1)
    value = np.float32(whole + fraction)
    lanes = lanes_of(p, encode(p, 4, np.full(count, value, np.float32))[0]).astype(np.int64)
    up = float(value) - whole
    assert set(np.unique(lanes)) == {whole, whole + 1}
    # Seven standard deviations of the mean, and the dither's own step of 2^-16.
    assert abs(lanes.mean() - float(value)) < 7 * math.sqrt(up * (1 - up) / count) + 2**-16


def test_rounding_is_independent_between_coordinates_and_between_calls(parameters: Any) -> None:
    count = 2**18
    p = parameters(length=count, ring_bits=16, bound=2048.0, weight_cap=1)
    half = np.full(count, 0.5, np.float32)
    one, two = (lanes_of(p, encode(p, 4, half)[0]).astype(float) * 2 - 1 for _ in range(2))
    for shift in (1, 2, 8, 16384):
        assert abs(np.mean(one[shift:] * one[:-shift])) < 7 / math.sqrt(count - shift)
    assert abs(np.mean(one * two)) < 7 / math.sqrt(count)


# Head-room ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("n", [*range(3, 51)])
def test_all_sites_at_the_bound_at_once_do_not_overflow(parameters: Any, bits: int, n: int) -> None:
    cap, bound, top = 2 ** (bits - 3) // n, 0.37, metric_bound(n)
    p = parameters(
        minimum_sites=3, threshold=n, ring_bits=bits, length=5, weight_cap=cap, bound=bound, metrics=2
    )
    p.check(n)
    extreme = np.array([bound, -bound, 1e3, -1e3, 0.0], np.float32)
    sums = PayloadLayout.of(p).zeros()
    for _ in range(n):
        add(p, sums, encode(p, n, extreme, cap, (top, -top))[0])
    # The two spare bits: the sum uses at most a quarter of its ring's half.
    assert int(np.abs(lanes_of(p, sums).astype(np.int64)).max()) <= 2 ** (bits - 3)
    total = decode_total(p, n, sums, n)
    expected = np.array([bound, -bound, bound, -bound, 0.0])
    # The bound in levels is rounded towards zero, by less than 2r, and to a level; the mean has three roundings more.
    levels = p.levels(n)
    to_a_level = 0.0 if float(np.float32(levels)) == levels else 1 / levels
    np.testing.assert_allclose(total.mean, expected, rtol=6 * 2.0**-24 + to_a_level, atol=0)
    assert total.weight == n * cap
    assert total.metrics == (n * top, -n * top)


@settings(max_examples=200, database=None)
@given(
    bits=st.sampled_from([16, 32]),
    n=st.integers(3, 50),
    cap=st.integers(1, 2**30),
    bound=st.floats(1e-12, 1e12),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_honest_sum_is_garbage(
    parameters: Any, bits: int, n: int, cap: int, bound: float, seed: int
) -> None:
    cap = min(cap, 2 ** (bits - 3) // n)
    p = parameters(threshold=n, ring_bits=bits, length=9, weight_cap=cap, bound=bound, metrics=1)
    p.check(n)
    rng = np.random.default_rng(seed)
    sums, weight = PayloadLayout.of(p).zeros(), 0
    contributors = int(rng.integers(1, n + 1))
    for _ in range(contributors):
        mine = int(rng.integers(1, cap + 1))
        vector = (rng.choice([-2, -1, -0.5, 0, 0.5, 1, 2], 9) * bound).astype(np.float32)
        add(p, sums, encode(p, n, vector, mine, (metric_bound(n) * rng.uniform(-1, 1),))[0])
        weight += mine
    total = decode_total(p, n, sums, contributors)
    assert total.weight == weight
    # A weight far below the cap rounds its coordinates to a whole level: the mean may pass the bound by that.
    level = bound * cap / (p.levels(n) * weight)
    assert np.all(np.abs(total.mean) <= bound * (1 + 2**-20) + contributors * level)


@pytest.mark.parametrize("bits", [16, 32])
def test_a_garbage_update_under_an_honest_tail_is_noticed(parameters: Any, bits: int) -> None:
    """Each lane shows it with three chances in four, so 64 lanes hide it once in 10^38 times."""
    p = parameters(length=64, ring_bits=bits)
    rng = np.random.default_rng(1)
    for n in (3, 4, 10, 50):
        for _ in range(25):
            sums = PayloadLayout.of(p).zeros()
            for _ in range(n - 1):
                add(p, sums, encode(p, n, rng.uniform(-1, 1, 64).astype(np.float32), 16)[0])
            garbage = encode(p, n, np.zeros(64, np.float32), 16)[0]
            garbage[: PayloadLayout.of(p).body_words] = rng.integers(
                0, 2**32, PayloadLayout.of(p).body_words, dtype=np.uint32
            )
            add(p, sums, garbage)
            with pytest.raises(GarbageError, match="a summed coordinate is beyond"):
                decode_total(p, n, sums, n)


@pytest.mark.parametrize("place", [0, 4, 65534, 65535, 65536, 65539])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_lane_beyond_the_limit_is_noticed_wherever_it_is(parameters: Any, place: int, sign: int) -> None:
    p = parameters(length=65540, ring_bits=32)
    words = PayloadLayout.of(p).zeros()
    PayloadLayout.of(p).tail_of(words)[:2] = 3, 3
    lanes, limit = PayloadLayout.of(p).ring(words).view("<i4"), 3 * p.levels(4)
    lanes[place] = sign * limit
    assert decode_total(p, 4, words, 3).mean[place] == np.float32(sign * limit / (p.levels(4) * 3) * 16)
    lanes[place] = sign * (limit + 1)
    with pytest.raises(GarbageError, match=f"beyond the {limit} levels that 3 sites can reach"):
        decode_total(p, 4, words, 3)


@pytest.mark.parametrize(
    ("tail", "words_of"),
    [
        ((2, 5, 0), "says that it has 2"),
        ((4, 5, 0), "says that it has 4"),
        ((3, 2, 0), "weight of 2"),
        ((3, 49, 0), "weight of 49"),
        ((3, -1, 0), "weight of -1"),
        ((3, 5, 3 * 2**27 * 2**32 + 2**9), "a summed metric is beyond"),
        ((3, 5, -3 * 2**27 * 2**32 - 2**9), "a summed metric is beyond"),
    ],
)
def test_a_tail_that_honest_sites_cannot_sum_to_is_garbage(
    parameters: Any, tail: tuple[int, ...], words_of: str
) -> None:
    p = parameters(metrics=1)
    words = PayloadLayout.of(p).zeros()
    PayloadLayout.of(p).tail_of(words).view(np.int64)[:] = 3, 5, 7
    assert decode_total(p, 4, words, 3).metrics == (7 / 2**32,)
    PayloadLayout.of(p).tail_of(words).view(np.int64)[:] = tail
    with pytest.raises(GarbageError, match=words_of):
        decode_total(p, 4, words, 3)


@pytest.mark.parametrize(
    "memory", [np.empty(3, np.uint32), np.empty(100, np.int64), np.empty((50, 2), np.uint32)[:, 0]]
)
def test_memory_that_does_not_fit_is_refused(parameters: Any, memory: Any) -> None:
    with pytest.raises(ValueError, match="uint32 words was expected"):
        encode_masked(parameters(), 4, np.zeros(5, np.float32), 1, (0.0, 0.0), Masks([], []), memory)
