"""Shamir's scheme against Lagrange's formula over the rationals, and what fewer shares than needed say."""

from __future__ import annotations

import itertools
import secrets
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen_privacy.secagg import shamir

SECRET = st.binary(min_size=32, max_size=32)


def is_prime(n: int) -> bool:
    """Miller and Rabin with forty bases."""
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for base in range(2, 42):
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def naive(points: dict[int, int], at: int) -> int:
    """Lagrange's formula in exact fractions, reduced modulo the prime at the very end."""
    total = Fraction(0)
    for i, y in points.items():
        term = Fraction(y)
        for j in points:
            if j != i:
                term *= Fraction(at - j, i - j)
        total += term
    return total.numerator * pow(total.denominator, -1, shamir.PRIME) % shamir.PRIME


def test_the_field_holds_every_secret_and_is_a_field() -> None:
    assert is_prime(shamir.PRIME)
    assert shamir.PRIME > 2**256
    assert not any(is_prime(n) for n in range(2**256 + 1, shamir.PRIME))
    assert (shamir.PRIME - 1).bit_length() <= 8 * shamir.SHARE_BYTES


@settings(max_examples=150, database=None)
@given(data=st.data(), secret=SECRET, n=st.integers(1, 12))
def test_any_t_shares_give_the_secret_back(data: st.DataObject, secret: bytes, n: int) -> None:
    t = data.draw(st.integers(1, n))
    shares = shamir.split(secret, t, n)
    assert len(shares) == n
    assert all(len(share) == shamir.SHARE_BYTES for share in shares)
    chosen = data.draw(st.lists(st.integers(1, n), min_size=t, max_size=n, unique=True))
    points = {x: shares[x - 1] for x in chosen}
    assert shamir.combine(points) == secret
    assert naive({x: int.from_bytes(y, "big") for x, y in points.items()}, 0) == int.from_bytes(secret, "big")


@settings(max_examples=60, database=None)
@given(secret=SECRET, claimed=SECRET, n=st.integers(2, 10), data=st.data())
def test_one_share_fewer_fits_every_secret(
    secret: bytes, claimed: bytes, n: int, data: st.DataObject
) -> None:
    t = data.draw(st.integers(2, n))
    shares = shamir.split(secret, t, n)
    known = data.draw(st.lists(st.integers(1, n), min_size=t - 1, max_size=t - 1, unique=True))
    points = {x: int.from_bytes(shares[x - 1], "big") for x in known}
    # The share that would make them shares of any other secret: it exists, and is a share like any other.
    missing = next(x for x in range(1, n + 1) if x not in known)
    there = naive({**points, 0: int.from_bytes(claimed, "big")}, missing)
    forged = {**{x: shares[x - 1] for x in known}, missing: there.to_bytes(33, "big")}
    assert shamir.combine(forged) == claimed


def test_every_t_subset_of_a_sharing_agrees_and_fewer_do_not() -> None:
    secret = bytes(range(32))
    shares = dict(enumerate(shamir.split(secret, 4, 7), start=1))
    for size in range(1, 8):
        for chosen in itertools.combinations(shares, size):
            assert (shamir.combine({x: shares[x] for x in chosen}) == secret) is (size >= 4)


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, bytes(31) + b"\x01"])
def test_the_first_and_last_secrets(secret: bytes) -> None:
    assert shamir.combine(dict(enumerate(shamir.split(secret, 3, 5), start=1))) == secret


def test_the_polynomial_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coefficients drawn in order below the prime; the share at x is f(x) = s + a1 x + a2 x^2, big-endian."""
    drawn = iter([5, shamir.PRIME - 1])
    monkeypatch.setattr(secrets, "randbelow", lambda limit: next(drawn) if limit == shamir.PRIME else 1 / 0)
    shares = shamir.split((7).to_bytes(32, "big"), 3, 4)
    assert [int.from_bytes(share, "big") for share in shares] == [
        (7 + 5 * x - x * x) % shamir.PRIME for x in range(1, 5)
    ]
    assert [share[0] for share in shares] == [0, 0, 0, 0]
    assert shares[0] == (11).to_bytes(33, "big")


def test_coefficients_are_fresh() -> None:
    assert len({share for _ in range(20) for share in shamir.split(bytes(32), 2, 3)}) == 60


def test_shares_that_are_not_of_32_bytes_give_none() -> None:
    assert shamir.combine({1: (2**256).to_bytes(33, "big")}) is None
    assert shamir.combine({1: (2**256 - 1).to_bytes(33, "big")}) == b"\xff" * 32


@pytest.mark.parametrize(
    ("size", "t", "n"), [(31, 2, 3), (33, 2, 3), (0, 2, 3), (32, 0, 3), (32, 4, 3), (32, 1, 0)]
)
def test_sizes_out_of_range_are_refused(size: int, t: int, n: int) -> None:
    with pytest.raises(ValueError, match="cannot share"):
        shamir.split(bytes(size), t, n)


@pytest.mark.parametrize("points", [[0, 1], [1, 1], [-1, 2], [1, shamir.PRIME]])
def test_points_that_are_zero_or_repeated_are_refused(points: list[int]) -> None:
    with pytest.raises(ValueError, match="distinct and not zero"):
        shamir.lagrange_at_zero(points)
