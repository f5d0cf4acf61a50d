"""Shamir's secret sharing (Communications of the ACM 22(11), 1979) of 256-bit secrets."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache

#: The smallest prime above 2^256, so that any 32 bytes are a field element.
PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, threshold: int, points: int) -> list[bytes]:
    """Shares of `secret` at the points 1..points; any `threshold` of them give it back, fewer say nothing.

    Args:
        secret: 32 bytes.
        threshold: t, 1 <= t <= points.
        points: number of shares.

    Raises:
        ValueError: sizes out of range.
    """
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= points:
        raise ValueError(f"cannot share {len(secret)} bytes among {points} with threshold {threshold}")
    coefficients = [int.from_bytes(secret, "big")] + [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    shares = []
    for x in range(1, points + 1):
        y = 0
        for coefficient in reversed(coefficients):
            y = (y * x + coefficient) % PRIME
        shares.append(y.to_bytes(SHARE_BYTES, "big"))
    return shares


def lagrange_at_zero(points: Sequence[int]) -> tuple[int, ...]:
    """Factors l_i with f(0) = sum_i l_i f(x_i) for every polynomial of degree below len(points).

    They are remembered, since in a session nearly every secret comes back from the same sites' shares; points are
    positions in the roster and no secrets.

    Args:
        points: x_i, distinct and between 1 and PRIME - 1.

    Raises:
        ValueError: a point is zero or repeated.
    """
    return _lagrange_at_zero(tuple(points))


@lru_cache(maxsize=16)
def _lagrange_at_zero(points: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(points)) != len(points) or any(not 0 < x < PRIME for x in points):
        raise ValueError("the points of shares must be distinct and not zero")
    factors = []
    for i, x in enumerate(points):
        numerator = denominator = 1
        for j, other in enumerate(points):
            if i != j:
                numerator = numerator * other % PRIME
                denominator = denominator * (other - x) % PRIME
        factors.append(numerator * pow(denominator, -1, PRIME) % PRIME)
    return tuple(factors)


def combine(shares: Mapping[int, bytes]) -> bytes | None:
    """The secret of exactly `threshold` shares, by point; None if they are not shares of 32 bytes.

    Raises:
        ValueError: a point is zero.
    """
    points = sorted(shares)
    factors = lagrange_at_zero(points)
    total = sum(f * int.from_bytes(shares[x], "big") for f, x in zip(factors, points, strict=True)) % PRIME
    return total.to_bytes(SECRET_BYTES, "big") if total < 2**256 else None
