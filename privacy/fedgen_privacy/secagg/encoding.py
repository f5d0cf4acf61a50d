"""Fixed-point numbers in a ring: an update, its weight and its metrics as integers whose sum is exact.

A coordinate u in [-B, B] of a site with weight w <= W becomes w / W * u / B * Q, rounded at random to one of
the two nearest integers so that the rounding has mean zero, to some 2^-31 of the bound. Q leaves room for the sum of
all sites and two bits more: a sum beyond what honest sites can reach is recognised as garbage.

What is promised, with r = 2^-24, the unit roundoff of float32:

* An integer differs from its coordinate's exact number of levels x by less than 1 + 3r |x|: the scale and its product
  (or the bound, towards zero) are rounded to float32, then the product at random to a level.
* The integers are summed exactly, or there is no sum.
* The mean of a sum of S levels and weight w, exactly S B W / (Q w), is given within kr (1 + 2r) of its magnitude: the
  k = 3 roundings to float32 are of S, of the factor B W / (Q w) and of their product; k = 2 where |S| <= 2^24, which is
  a float32 as it is. (1 + r)^k - 1 is less by more than the three roundings of the factor in double precision add
  (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 2.2); nothing over- or underflows, since B is
  between 2^-64 and 2^64.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedgen_privacy.errors import FederationError
from fedgen_privacy.secagg.masks import CHUNK_BYTES, Keystream, Masks, chunks
from fedgen_privacy.secagg.parameters import SPARE_BITS, Parameters
from fedgen_privacy.secagg.payload import FIXED_TAIL, Lanes, PayloadLayout, Words

#: Metrics are multiples of 2^-32.
METRIC_BITS = 32
#: Elements rounded at once: measured, a compromise between caches and calls (benchmarks/secure_aggregation.py).
BLOCK = 64 * 1024
#: Random bits for rounding a coordinate; fewer where 32-bit integers leave no room for them.
MOST_ROUNDING_BITS = 16


class GarbageError(FederationError):
    """A sum is beyond what honest sites can reach (exit 5)."""


@dataclass(frozen=True)
class Total:
    """What a sum says.

    Attributes:
        mean: (P,) float32, mean of the updates weighted by the sites' weights.
        weight: sum of the weights.
        metrics: sum of each metric.
    """

    mean: np.ndarray[tuple[int], np.dtype[np.float32]]
    weight: int
    metrics: tuple[float, ...]


def metric_bound(sites: int) -> float:
    """Largest magnitude a metric may have."""
    return float(2 ** (63 - SPARE_BITS - METRIC_BITS) // sites)


def check_contribution(parameters: Parameters, sites: int, weight: int, metrics: Sequence[float]) -> None:
    """Refuse a weight or metrics that cannot be encoded.

    Raises:
        FederationError: with what is out of range; a weight above the cap is never clipped silently.
    """
    if not (isinstance(weight, int) and 1 <= weight <= parameters.weight_cap):
        raise FederationError(
            f"The weight {weight} is not between 1 and the cap of {parameters.weight_cap} that all sites approved: "
            "raise aggregation.weight_cap in the study."
        )
    if len(metrics) != parameters.metrics:
        raise FederationError(f"{len(metrics)} metrics were given where the study sums {parameters.metrics}.")
    bound = metric_bound(sites)
    for value in metrics:
        if not (math.isfinite(value) and abs(value) <= bound):
            raise FederationError(
                f"A metric is {value:g} but must be finite and at most {bound:g} to be summed: "
                "lower training.learning_rate."
            )


def encode_masked(
    parameters: Parameters,
    sites: int,
    vector: np.ndarray[tuple[int], np.dtype[np.float32]],
    weight: int,
    metrics: Sequence[float],
    masks: Masks,
    out: Words | None = None,
) -> tuple[Words, int]:
    """The masked vector of a contribution, and how many coordinates were clipped.

    Args:
        sites: n, of the roster.
        vector: (P,) float32.
        weight: 1 to the weight cap.
        metrics: as many as the parameters say.
        masks: applied to each chunk as it is encoded, so that no unmasked copy of the whole exists.
        out: memory for the result, (layout.words,) uint32; new memory where not given, which costs its first touch.

    Raises:
        FederationError: a value that is not finite, a wrong shape or type, a weight above the cap.
    """
    check_contribution(parameters, sites, weight, metrics)
    if vector.dtype != np.float32 or vector.shape != (parameters.length,):
        raise FederationError(
            f"An update of {parameters.length} float32 values was expected, but {vector.shape} {vector.dtype} came."
        )
    layout = PayloadLayout.of(parameters)
    words = _memory(layout, out)
    ring = layout.ring(words)
    rounding = _Rounding(parameters, sites, weight)
    clipped = 0
    # An overflow is found as a value that is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in chunks(ring):
            lanes = ring[piece]
            clipped += rounding.encode(vector[piece.start : min(piece.stop, parameters.length)], lanes)
            masks.apply(lanes)
    _mask_tail(layout.tail_of(words), weight, metrics, masks)
    return words, clipped


def mask_integers(
    parameters: Parameters,
    sites: int,
    vector: np.ndarray[tuple[int], np.dtype[np.int32]],
    metrics: Sequence[float],
    masks: Masks,
    out: Words | None = None,
) -> Words:
    """The masked vector of integers that are summed as they are, modulo the ring, with weight 1.

    Nothing is rounded or cut to a range: where integers carry noise, either would change its distribution in the sum.

    Args:
        vector: (P,) int32, elements of the ring in two's complement.
        sites, metrics, masks, out: as in `encode_masked`.

    Raises:
        FederationError: a wrong shape or type, or a ring of fewer bits.
    """
    check_contribution(parameters, sites, 1, metrics)
    if vector.dtype != np.int32 or vector.shape != (parameters.length,) or parameters.ring_bits != 32:
        raise FederationError(
            f"{parameters.length} int32 values for a ring of {parameters.ring_bits} bits were expected, but "
            f"{vector.shape} {vector.dtype} for one of 32 came."
        )
    layout = PayloadLayout.of(parameters)
    words = _memory(layout, out)
    ring = layout.ring(words)
    ring[: len(vector)] = vector.view(np.uint32)
    ring[len(vector) :] = 0
    for piece in chunks(ring):
        masks.apply(ring[piece])
    _mask_tail(layout.tail_of(words), 1, metrics, masks)
    return words


def masked(
    parameters: Parameters,
    sites: int,
    vector: np.ndarray[tuple[int], np.dtype[Any]],
    weight: int,
    metrics: Sequence[float],
    masks: Masks,
    out: Words | None = None,
) -> tuple[Words, int]:
    """`mask_integers` for integers, `encode_masked` for anything else; also how many coordinates were clipped.

    Raises:
        FederationError: as both; integers with another weight than 1.
    """
    if vector.dtype != np.int32:
        return encode_masked(parameters, sites, vector, weight, metrics, masks, out)
    if weight != 1:
        raise FederationError(f"Integers are summed with weight 1, not {weight}.")
    return mask_integers(parameters, sites, vector, metrics, masks, out), 0


def _memory(layout: PayloadLayout, out: Words | None) -> Words:
    words = np.empty(layout.words, dtype=np.uint32) if out is None else out
    if words.shape != (layout.words,) or words.dtype != np.uint32 or not words.flags.c_contiguous:
        raise ValueError(
            f"memory for {layout.words} uint32 words was expected, not {words.shape} {words.dtype}"
        )
    return words


def _mask_tail(tail: Lanes, weight: int, metrics: Sequence[float], masks: Masks) -> None:
    tail[0], tail[1] = 1, weight
    tail.view(np.int64)[FIXED_TAIL:] = [round(value * 2**METRIC_BITS) for value in metrics]
    for piece in chunks(tail):
        masks.apply(tail[piece])


class _Rounding:
    """Stochastic rounding of one contribution, block by block in reused buffers.

    A coordinate becomes an integer with `bits` more binary places than the ring keeps; adding as many random bits
    before they are cut off rounds up with the probability of the fraction.
    """

    def __init__(self, parameters: Parameters, sites: int, weight: int) -> None:
        Q = parameters.levels(sites)
        # (Q + 1) * 2^bits - 1 is the largest integer that occurs, and fits 31 bits.
        self._bits = min(MOST_ROUNDING_BITS, 31 - Q.bit_length())
        limit = weight / parameters.weight_cap * Q * 2**self._bits
        self._scale = np.float32(limit / parameters.bound)
        # The largest float32 not above the exact limit: no rounding of ours may leave the approved range.
        nearest = np.float32(limit)
        self._limit = nearest if float(nearest) <= limit else np.nextafter(nearest, np.float32(0))
        self._dither = Keystream(secrets.token_bytes(32))
        self._scaled = np.empty(BLOCK, dtype=np.float32)
        self._integer, self._uniform = np.empty(BLOCK, dtype=np.int32), np.empty(BLOCK, dtype=np.int32)
        self._random = np.empty(BLOCK, dtype=np.uint8 if self._bits <= 8 else np.uint16)
        self._mask = self._random.dtype.type(2**self._bits - 1)
        self._zeros = bytes(self._random.nbytes)

    def encode(self, vector: np.ndarray[tuple[int], np.dtype[np.float32]], lanes: Lanes) -> int:
        """Write `vector` into the first lanes and zero into the rest; the number of clipped coordinates."""
        clipped = 0
        for start in range(0, len(vector), BLOCK):
            block = vector[start : start + BLOCK]
            clipped += self._block(block, lanes[start : start + len(block)])
        lanes[len(vector) :] = 0
        return clipped

    def _block(self, block: np.ndarray[tuple[int], np.dtype[np.float32]], lanes: Lanes) -> int:
        n = len(block)
        scaled, random, uniform = self._scaled[:n], self._random[:n], self._uniform[:n]
        np.multiply(block, self._scale, scaled)
        # NaN fails both comparisons.
        inside = np.minimum.reduce(scaled) >= -self._limit and np.maximum.reduce(scaled) <= self._limit
        clipped = 0 if inside else self._clip(scaled)
        np.rint(scaled, scaled)
        integer = lanes.view(np.int32) if lanes.itemsize == 4 else self._integer[:n]
        np.copyto(integer, scaled, casting="unsafe")
        self._dither.fill(random, self._zeros)
        np.bitwise_and(random, self._mask, random)
        np.copyto(uniform, random)
        np.add(integer, uniform, integer)
        np.right_shift(integer, self._bits, integer)
        if lanes.itemsize != 4:
            np.copyto(lanes, integer.view(np.uint32), casting="unsafe")
        return clipped

    def _clip(self, scaled: np.ndarray[tuple[int], np.dtype[np.float32]]) -> int:
        """Clip in place; the number of clipped coordinates."""
        if not bool(np.isfinite(scaled).all()):
            raise FederationError(
                "An update has values that are not finite, and nothing of it was sent: lower training.learning_rate."
            )
        clipped = int(np.count_nonzero(np.abs(scaled) > self._limit))
        np.clip(scaled, -self._limit, self._limit, out=scaled)
        return clipped


def decode_total(parameters: Parameters, sites: int, words: Words, contributions: int) -> Total:
    """The weighted mean, as near to the exact one as this module promises, and the other sums of an unmasked vector.

    Args:
        sites: n, of the roster.
        words: the sum; with a ring of 32 bits its memory becomes the mean's.
        contributions: how many vectors were added.

    Raises:
        GarbageError: the count of contributions is wrong, or a value is beyond what they can sum to.
    """
    layout = PayloadLayout.of(parameters)
    tail = layout.tail_of(words).view(np.int64)
    count, weight = int(tail[0]), int(tail[1])
    if count != contributions or not contributions <= weight <= contributions * parameters.weight_cap:
        raise GarbageError(
            f"the sum of {contributions} vectors says that it has {count}, with a weight of {weight}: somebody sent "
            "another vector than the protocol's"
        )
    bound = contributions * metric_bound(sites)
    metrics = tuple(int(value) / 2**METRIC_BITS for value in tail[FIXED_TAIL:])
    if any(abs(value) > bound for value in metrics):
        raise GarbageError(
            f"a summed metric is beyond {bound:g}: somebody sent another vector than the protocol's"
        )
    ring = layout.ring(words)
    signed = ring.view(np.int32 if parameters.ring_bits == 32 else np.int16)
    limit = contributions * parameters.levels(sites)
    factor = np.float32(parameters.bound * parameters.weight_cap / (parameters.levels(sites) * weight))
    in_place = parameters.ring_bits == 32
    mean = (ring.view(np.float32) if in_place else np.empty(len(ring), np.float32))[: parameters.length]
    buffer = np.empty(CHUNK_BYTES // signed.itemsize, dtype=np.float32)
    for piece in chunks(ring):
        lanes = signed[piece]
        if int(lanes.max()) > limit or int(lanes.min()) < -limit:
            raise GarbageError(
                f"a summed coordinate is beyond the {limit} levels that {contributions} sites can reach: somebody sent "
                "another vector than the protocol's"
            )
        out = mean[piece.start : min(piece.stop, parameters.length)]
        numbers = buffer[: len(out)]
        np.copyto(numbers, lanes[: len(out)], casting="unsafe")
        np.multiply(numbers, factor, out=out)
    return Total(mean, weight, metrics)
