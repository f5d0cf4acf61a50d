"""The discrete Gaussian: against its probabilities, with and without floating point, at every scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2, chisquare, norm

import fedgen_privacy.discrete_gaussian as module
from fedgen_privacy.discrete_gaussian import discrete_gaussian
from fedgen_privacy.random import SecretRandom

#: Probability that a right sampler fails one of the tests below.
ALPHA = 1e-6
KEY = bytes(range(32))


def probabilities(sigma: float, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Values -reach..reach and their probabilities, by the definition."""
    x = np.arange(-reach, reach + 1)
    weight = np.exp(-(x**2) / (2 * sigma**2))
    everything = np.arange(-20 * math.ceil(sigma) - 20, 20 * math.ceil(sigma) + 21)
    return x, weight / np.exp(-(everything**2) / (2 * sigma**2)).sum()


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.0, 2.5, 8.0])
def test_frequencies_are_those_of_the_definition(sigma) -> None:
    n = 200_000
    samples = discrete_gaussian(SecretRandom(), n, sigma)
    x, p = probabilities(sigma, math.ceil(3.5 * sigma))
    likely = n * p > 5
    counts = np.array([(samples == value).sum() for value in x[likely]])
    others, expected = n - counts.sum(), n * (1 - p[likely].sum())
    # what is too rare for the test goes with the most frequent value
    counts[len(counts) // 2] += others
    cells = n * p[likely]
    cells[len(cells) // 2] += expected
    assert others <= expected + 6 * math.sqrt(expected) + 12
    assert chisquare(counts, cells).pvalue > ALPHA


@pytest.mark.parametrize("sigma", [100.0, 12345.678, 3e6])
def test_large_scales_are_gaussian_to_the_eye_of_a_test(sigma) -> None:
    n = 100_000
    samples = discrete_gaussian(SecretRandom(), n, sigma)
    squares = float(np.square(samples / sigma).sum())
    assert ALPHA < chi2.cdf(squares, n) < 1 - ALPHA
    assert abs(samples.mean()) < norm.isf(ALPHA / 2) * sigma / math.sqrt(n)
    # the last bits of a wide distribution are uniform
    assert chisquare(np.bincount(samples % 4, minlength=4)).pvalue > ALPHA


@pytest.mark.parametrize("sigma", [0.7, 3.0, 40_000.5])
def test_exact_arithmetic_decides_as_floating_point_does(monkeypatch, sigma) -> None:
    """With no trust in floats every decision is made in decimals; none differs: floats decide only what is sure."""
    by_floats = discrete_gaussian(SecretRandom(KEY), 60, sigma)
    monkeypatch.setattr(module, "SLACK", 1e6)
    assert np.array_equal(discrete_gaussian(SecretRandom(KEY), 60, sigma), by_floats)


def test_bits_are_drawn_until_a_comparison_is_decided() -> None:
    """64 bits of w = 1/e tell floor(-ln w); they leave floor(-1e25 ln w) open by some 10^6."""
    word = int(2**64 / math.e)

    class Counting(SecretRandom):
        drawn = 0

        def words(self, n):
            self.drawn += n
            return super().words(n)

    random = Counting(KEY)
    assert module._exact_floor(word, 1.0, random) in (0, 1)
    assert random.drawn == 0
    assert abs(module._exact_floor(word, 1e25, random) / 10**25 - 1) < 1e-14
    assert random.drawn >= 1


def test_the_first_word_may_be_zero() -> None:
    """w in [0, 2^-64) has no largest -ln w until more bits are known."""
    assert module._exact_floor(0, 1.0, SecretRandom(KEY)) >= 44


@pytest.mark.parametrize("sigma", [0.0, 0.49, 2.0**41, math.inf, math.nan])
def test_scales_out_of_range_are_refused(sigma) -> None:
    with pytest.raises(ValueError, match="sigma"):
        discrete_gaussian(SecretRandom(), 1, sigma)
