"""The secret generator: right distributions, right stream, nothing shared between keys."""

import itertools
import math

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedgen_privacy.random import SecretRandom

KEY = bytes(range(32))
# Every statistical test below runs on a fixed key, so it passes or fails for good; the level says how
# unlikely a failure would have been for a correct generator.
LEVEL = 1e-3


def test_gaussian_noise_is_gaussian_with_the_std_asked_for() -> None:
    noise = SecretRandom(KEY).gaussian((200_000,), 2.5).double().numpy()
    assert stats.kstest(noise / 2.5, "norm").pvalue > LEVEL
    # The tails carry the guarantee, so they are counted on their own.
    beyond = int((np.abs(noise) > 3 * 2.5).sum())
    assert stats.binomtest(beyond, noise.size, 2 * stats.norm.sf(3)).pvalue > LEVEL


def test_coordinates_are_independent_of_their_neighbours() -> None:
    noise = SecretRandom(KEY).gaussian((100_001,), 1.0).double().numpy()
    # Box and Muller make pairs half the vector apart from one radius: squares of pairs must not correlate.
    half = (noise.size + 1) // 2
    for shift in (1, half):
        a, b = noise[:-shift], noise[shift:]
        assert stats.pearsonr(a, b).pvalue > LEVEL
        assert stats.pearsonr(a**2, b**2).pvalue > LEVEL


def test_poisson_sample_takes_each_record_independently_with_probability_q() -> None:
    random, n, q, draws = SecretRandom(KEY), 40, 0.3, 5_000
    taken = torch.zeros(draws, n)
    for draw in range(draws):
        taken[draw, random.poisson_sample(n, q)] = 1
    counts = taken.sum(0).numpy()
    assert (
        stats.chisquare(
            np.stack([counts, draws - counts]), np.array([[q * draws], [(1 - q) * draws]]), axis=0
        ).pvalue.min()
        > LEVEL / n
    )
    sizes = np.bincount(taken.sum(1).int().numpy(), minlength=n + 1)
    expected = stats.binom.pmf(np.arange(n + 1), n, q) * draws
    keep = expected > 5
    statistic = ((sizes[keep] - expected[keep]) ** 2 / expected[keep]).sum()
    assert stats.chi2.sf(statistic, int(keep.sum()) - 1) > LEVEL


def test_q_of_one_takes_everybody_and_n_of_zero_nobody() -> None:
    assert SecretRandom(KEY).poisson_sample(7, 1.0).tolist() == list(range(7))
    assert SecretRandom(KEY).poisson_sample(0, 0.5).tolist() == []


def test_the_stream_is_aes_256_in_counter_mode() -> None:
    raw = Cipher(algorithms.AES(KEY), modes.CTR(bytes(16))).encryptor().update(bytes(80))
    words = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, 80, 8)]
    expected = [((word >> 11) + 0.5) / 2**53 for word in words]
    assert SecretRandom(KEY).uniform(10).tolist() == expected


@given(st.integers(0, 200), st.integers(0, 200))
def test_two_draws_continue_one_stream(first: int, second: int) -> None:
    parts = SecretRandom(KEY)
    joined = torch.cat([parts.uniform(first), parts.uniform(second)])
    assert torch.equal(joined, SecretRandom(KEY).uniform(first + second))


def test_fresh_generators_differ_and_the_key_must_be_whole() -> None:
    assert not torch.equal(SecretRandom().uniform(4), SecretRandom().uniform(4))
    with pytest.raises(ValueError, match="32 bytes"):
        SecretRandom(b"short")


def test_permutations_are_uniform() -> None:
    random, counts = SecretRandom(KEY), np.zeros(math.factorial(4))
    order = {p: i for i, p in enumerate(itertools.permutations(range(4)))}
    for _ in range(4_800):
        counts[order[tuple(random.permutation(4).tolist())]] += 1
    assert stats.chisquare(counts).pvalue > LEVEL
