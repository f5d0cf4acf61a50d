"""Exact samples of the discrete Gaussian N_Z(0, sigma^2): P(x) proportional to exp(-x^2 / (2 sigma^2)), x integer.

Canonne, Kamath and Steinke (NeurIPS 2020), algorithm 3: propose a discrete Laplace variable Y with P(|Y| >= y) =
exp(-y / t), accept it with probability exp(-(|Y| - sigma^2 / t)^2 / (2 sigma^2)); here t = sigma. Both need a
comparison of a uniform real number with an exponential, and that comparison is made exactly: 64 bits of the number
and floating point decide it where their error bounds allow, which is nearly always, and more bits and decimal
arithmetic of growing precision where they do not. So the distribution has no error that an accountant would have to
know of, unlike Gaussian noise in floating point (Mironov, CCS 2012).
"""

from __future__ import annotations

import decimal
import math
from decimal import Decimal
from typing import Any

import numpy as np

from fedgen_privacy.random import SecretRandom

Floats = np.ndarray[Any, np.dtype[np.float64]]
Words = np.ndarray[Any, np.dtype[np.uint64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

#: Relative error granted to a handful of float64 operations with a logarithm or exponential of 4 ulp among them.
SLACK = 2.0**-46
#: Largest sigma: magnitudes stay far below 2^53, where float64 holds every integer.
LARGEST_SIGMA = 2.0**40
#: Words of randomness of a proposal: one for its magnitude, one for its sign, one for its acceptance.
_WORDS = 3


def discrete_gaussian(random: SecretRandom, n: int, sigma: float) -> Integers:
    """(n,) int64 independent samples of N_Z(0, sigma^2).

    Args:
        random: source of secret bits.
        n: how many.
        sigma: in [0.5, 2^40]; the float's own rational value is meant. Its square is the variance up to a factor of
            1 + exp(-2 pi^2 sigma^2) or so.

    Raises:
        ValueError: sigma is out of range.
    """
    if not 0.5 <= sigma <= LARGEST_SIGMA:
        raise ValueError(f"sigma must be between 0.5 and 2^40, not {sigma}")
    samples = np.empty(n, dtype=np.int64)
    done = 0
    while done < n:
        # Acceptance is near 0.76 at any sigma that matters.
        proposals = math.ceil(1.4 * (n - done)) + 16
        words = random.words(_WORDS * proposals).reshape(_WORDS, proposals)
        magnitude = _floor_of_exponential(words[0], sigma, random)
        negative = (words[1] >> np.uint64(63)).astype(bool)
        # Zero has one sign, or it would be proposed twice.
        kept = ~(negative & (magnitude == 0)) & _accepted(words[2], magnitude, sigma, random)
        found = np.where(negative, -magnitude, magnitude)[kept][: n - done]
        samples[done : done + len(found)] = found
        done += len(found)
    return samples


def _floor_of_exponential(words: Words, t: float, random: SecretRandom) -> Integers:
    """floor(-t ln w) of uniform real w whose first 64 bits are `words`: P(result >= x) = exp(-x / t)."""
    w = (words.astype(np.float64) + 0.5) * 2.0**-64
    value = -t * np.log(w)
    # d(t ln w) = t dw / w: the bits of w that are not drawn yet, and its conversion to float64.
    error = SLACK * (value + t) + t / np.maximum(words.astype(np.float64), 0.25)
    result = np.floor(value)
    unsure = np.flatnonzero(np.floor(value - error) != np.floor(value + error))
    for i in unsure:
        result[i] = _exact_floor(int(words[i]), t, random)
    return result.astype(np.int64)


def _accepted(words: Words, magnitude: Integers, sigma: float, random: SecretRandom) -> np.ndarray[Any, Any]:
    """Whether uniform u with first 64 bits `words` is below exp(-(magnitude - sigma)^2 / (2 sigma^2))."""
    gamma = 0.5 * np.square((magnitude.astype(np.float64) - sigma) / sigma)
    p = np.exp(-gamma)
    u = (words.astype(np.float64) + 0.5) * 2.0**-64
    error = SLACK * (p * (1 + gamma) + u) + 2.0**-63
    result: np.ndarray[Any, Any] = u < p
    for i in np.flatnonzero(np.abs(u - p) <= error):
        result[i] = _exact_accept(int(words[i]), int(magnitude[i]), sigma, random)
    return result


class _LazyUniform:
    """A uniform real number in [0, 1], known to as many bits as were needed so far."""

    def __init__(self, word: int, random: SecretRandom) -> None:
        self._value, self._bits, self._random = word, 64, random

    def refine(self) -> None:
        """Draw 64 more bits."""
        self._value = self._value << 64 | int(self._random.words(1)[0])
        self._bits += 64

    @property
    def digits(self) -> int:
        """Decimal digits that calculations about it should have: enough to write its ends without rounding."""
        return self._bits + 40

    def ends(self) -> tuple[Decimal, Decimal]:
        """The interval it is known to lie in."""
        scale = Decimal(2) ** self._bits
        return Decimal(self._value) / scale, Decimal(self._value + 1) / scale


def _exact_floor(word: int, t: float, random: SecretRandom) -> int:
    w = _LazyUniform(word, random)
    while True:
        with decimal.localcontext() as context:
            context.prec = w.digits
            low, high = w.ends()
            if low > 0:
                # Rounding at so many digits is far below the width of the interval, which grants it.
                grant = Decimal(10) ** (30 - context.prec)
                most = (-Decimal(t) * low.ln() * (1 + grant)).to_integral_value(decimal.ROUND_FLOOR)
                least = (-Decimal(t) * high.ln() * (1 - grant)).to_integral_value(decimal.ROUND_FLOOR)
                if most == least:
                    return int(most)
        w.refine()


def _exact_accept(word: int, magnitude: int, sigma: float, random: SecretRandom) -> bool:
    u = _LazyUniform(word, random)
    while True:
        with decimal.localcontext() as context:
            context.prec = u.digits
            low, high = u.ends()
            deviation = (Decimal(magnitude) - Decimal(sigma)) / Decimal(sigma)
            p = (-(deviation * deviation) / 2).exp()
            grant = p * Decimal(10) ** (30 - context.prec)
            if high <= p - grant:
                return True
            if low >= p + grant:
                return False
        u.refine()
