"""Noise made by several sites: integers, sensitivity, shares, and equality with one trusted place."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from dp_accounting.pld.privacy_loss_distribution import from_discrete_gaussian_mechanism
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, ks_2samp

from fedgen_privacy.accounting import Spend, calibrate_noise, epsilon_prv, epsilon_rdp
from fedgen_privacy.composition import epsilon_of_studies, with_plan
from fedgen_privacy.distributed import FEWEST_NOISE_LEVELS, RING_LEVELS, NoiseShare, noise_share
from fedgen_privacy.errors import StudyError
from fedgen_privacy.gradients.vmap import vmapped
from fedgen_privacy.integer_step import integer_sum, read_step, rounded_sum, with_noise
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import GaussianStep, clipped_sum

ALPHA = 1e-6
SHARE = {
    "clipping_norm": 1.0,
    "noise_multiplier": 1.5,
    "dimension": 1000,
    "expected_batch": 64.0,
    "needed": 4,
    "colluders": 0,
    "sites": 4,
}


@vmapped
def quadratic(params, record):
    """Gradient w - x of a record x, with a loss that is not bounded."""
    return 0.5 * (params["w"] - record["x"]).square().sum()


def batch_of(x):
    return {"x": torch.as_tensor(x, dtype=torch.float32)}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 40),
    st.floats(1e-3, 1e3),
    st.floats(0.05, 20.0),
    st.integers(0, 2**32 - 1),
)
def test_a_record_moves_the_integers_by_at_most_the_sensitivity(B, d, size, C, seed) -> None:
    """Exactly: the sum with a record minus the sum without is that record's own vector, of bounded norm."""
    rng = torch.Generator().manual_seed(seed)
    x = size * torch.randn(B, d, generator=rng)
    params = {"w": torch.randn(d, generator=rng)}
    share = noise_share(**{**SHARE, "clipping_norm": C, "dimension": d + 1})
    options = {"clipping_norm": C, "loss_bounds": (2.0,), "share": share, "chunk": 2}
    whole = integer_sum(quadratic, params, batch_of(x), **options)
    for leave in range(B):
        kept = [b for b in range(B) if b != leave]
        rest = integer_sum(quadratic, params, batch_of(x[kept]) if kept else None, **options)
        alone = integer_sum(quadratic, params, batch_of(x[leave : leave + 1]), **options)
        assert torch.equal(whole - rest, alone)
        assert int(alone.square().sum()) <= share.sensitivity**2


def test_integers_are_the_clipped_sum_in_levels() -> None:
    rng = torch.Generator().manual_seed(1)
    x, params = 3 * torch.randn(9, 7, generator=rng), {"w": torch.zeros(7)}
    share = noise_share(**{**SHARE, "dimension": 8})
    levels = integer_sum(
        quadratic, params, batch_of(x), clipping_norm=1.0, loss_bounds=(50.0,), share=share, chunk=4
    )
    read = read_step(
        levels.float(),
        {"w": torch.Size((7,))},
        clipping_norm=1.0,
        loss_bounds=(50.0,),
        expected_batch=5.0,
        share=share,
        sites=4,
    )
    expected = clipped_sum(quadratic, params, batch_of(x), bound=0.96**0.5, loss_bounds=(50.0,), chunk=9)
    assert torch.allclose(read.gradients["w"], expected.gradients["w"] / 5, rtol=1e-3)
    assert read.losses[0] == pytest.approx(float(expected.losses[0]) / 5, rel=1e-3)


def test_records_that_are_not_finite_contribute_nothing() -> None:
    share = noise_share(**{**SHARE, "dimension": 3})
    x = torch.tensor([[1.0, 2.0], [math.nan, 0.0], [math.inf, 1.0]])
    options = {"clipping_norm": 1.0, "loss_bounds": (1.0,), "share": share, "chunk": 3}
    good = integer_sum(quadratic, {"w": torch.zeros(2)}, batch_of(x[:1]), **options)
    every = integer_sum(quadratic, {"w": torch.zeros(2)}, batch_of(x), **options)
    assert torch.equal(good[:2], every[:2])


def test_a_vector_longer_than_the_bound_counts_nothing() -> None:
    share = noise_share(**{**SHARE, "dimension": 2})
    fine, long = torch.tensor([[0.6, 0.8]]), torch.tensor([[0.7, 0.8]])
    assert torch.equal(rounded_sum(torch.cat([fine, 2 * long]), share), rounded_sum(fine, share))
    assert bool(rounded_sum(fine, share).any())


@pytest.mark.parametrize(("sites", "needed", "colluders"), [(3, 3, 0), (4, 3, 0), (4, 4, 1), (8, 6, 2)])
def test_any_sum_that_can_be_opened_has_the_honest_noise(sites, needed, colluders) -> None:
    """For every number of survivors, and without those who tell: at least sigma times the sensitivity."""
    d = 4000
    share = noise_share(**{**SHARE, "dimension": d, "sites": sites, "needed": needed, "colluders": colluders})
    random = SecretRandom()
    parts = [with_noise(torch.zeros(d, dtype=torch.int64), share, random) for _ in range(sites)]
    wanted = 1.5 * share.sensitivity
    for survivors in range(needed, sites + 1):
        honest = survivors - max(1, colluders)
        total = np.sum(parts[:honest], axis=0, dtype=np.int64)
        squares = float(np.square(total / wanted).sum())
        factor = honest / (needed - max(1, colluders))
        assert factor >= 1
        assert ALPHA < chi2.cdf(squares / factor, d) < 1 - ALPHA
        assert share.total_std(honest) * share.scale == pytest.approx(wanted * factor**0.5)


def test_noise_for_all_sites_instead_of_the_honest_would_be_seen() -> None:
    d = 4000
    share = noise_share(**{**SHARE, "dimension": d})
    weak = replace(share, std=share.std * (3 / 4) ** 0.5)
    total = np.sum(
        [with_noise(torch.zeros(d, dtype=torch.int64), weak, SecretRandom()) for _ in range(3)], axis=0
    )
    assert chi2.cdf(float(np.square(total / (1.5 * share.sensitivity)).sum()), d) < ALPHA


def test_the_ring_has_room_for_batch_and_noise() -> None:
    for batch, sigma, sites in ((16.0, 0.5, 3), (4096.0, 18.0, 4), (1024.0, 80.0, 50)):
        share = noise_share(
            **{**SHARE, "expected_batch": batch, "noise_multiplier": sigma, "needed": sites, "sites": sites}
        )
        reach = 2 * batch * share.scale + 12 * share.total_std(sites) * share.scale
        # the sensitivity is a little above one clipped vector
        assert reach <= RING_LEVELS * share.sensitivity / share.scale
        assert share.std >= FEWEST_NOISE_LEVELS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"needed": 3, "colluders": 3}, "has no noise left"),
        ({"needed": 1}, "has no noise left"),
        ({"expected_batch": 1e9}, "too few"),
        ({"dimension": 10**16}, "too few"),
    ],
)
def test_shares_that_cannot_be_made_are_refused(change, words) -> None:
    with pytest.raises(StudyError, match=words):
        noise_share(**{**SHARE, **change})


def test_wrapping_is_modulo_the_ring() -> None:
    share = NoiseShare(1.0, 1, 8.0)
    big = torch.tensor([2**31 + 5, -(2**31) - 5, 2**40, 0])
    parts = np.sum([with_noise(big, share, SecretRandom()).astype(np.int64), -big.numpy()], axis=0) % 2**32
    signed = np.where(parts >= 2**31, parts - 2**32, parts)
    assert np.abs(signed).max() < 100


def one_training(seed, sites, sigma, steps=3):
    """Parameters after a few steps on 40 records at so many sites, by integers; or in one trusted place."""
    C, q, B = 1.0, 0.5, 20.0
    x = torch.linspace(-2, 2, 40)[:, None] * torch.tensor([1.0, -0.5, 0.2])
    random = SecretRandom(seed.to_bytes(32, "little"))
    w = torch.zeros(3)
    if sites == 1:
        step = GaussianStep(C, sigma, B, loss_bounds=(4.0,), chunk=64)
        for _ in range(steps):
            sampled = random.poisson_sample(40, q)
            batch = batch_of(x[sampled]) if len(sampled) else None
            w = w - step(quadratic, {"w": w}, batch, random).gradients["w"]
        return w.numpy()
    share = noise_share(
        clipping_norm=C,
        noise_multiplier=sigma,
        dimension=4,
        expected_batch=B,
        needed=sites,
        colluders=0,
        sites=sites,
    )
    for _ in range(steps):
        parts = []
        for own in x.chunk(sites):
            sampled = random.poisson_sample(len(own), q)
            batch = batch_of(own[sampled]) if len(sampled) else None
            total = integer_sum(
                quadratic, {"w": w}, batch, clipping_norm=C, loss_bounds=(4.0,), share=share, chunk=64
            )
            parts.append(with_noise(total, share, random))
        levels = torch.from_numpy(np.sum(parts, axis=0, dtype=np.int64))
        opened = read_step(
            levels,
            {"w": torch.Size((3,))},
            clipping_norm=C,
            loss_bounds=(4.0,),
            expected_batch=B,
            share=share,
            sites=sites,
        )
        w = w - opened.gradients["w"]
    return w.numpy()


@pytest.fixture(scope="module")
def trainings():
    return lambda sites, sigma, first: np.array([one_training(first + s, sites, sigma) for s in range(250)])


def test_four_sites_train_as_one_trusted_place_would(trainings) -> None:
    """Same distribution of the trained parameters over seeds, once the noise of the site that may tell is counted."""
    together, central = trainings(4, 8.0, 0), trainings(1, 8 * (4 / 3) ** 0.5, 10_000)
    for coordinate in range(3):
        assert ks_2samp(together[:, coordinate], central[:, coordinate]).pvalue > ALPHA
    assert (
        np.abs(together.mean(axis=0) - central.mean(axis=0)).max()
        < 5 * central.std(axis=0).max() / 250**0.5 * 2
    )


@pytest.mark.slow
def test_less_noise_than_one_trusted_place_would_be_seen(trainings) -> None:
    together, central = trainings(4, 2.0, 0), trainings(1, 8 * (4 / 3) ** 0.5, 10_000)
    assert min(ks_2samp(together[:, i], central[:, i]).pvalue for i in range(3)) < ALPHA


def test_integer_noise_is_accounted_at_whole_orders() -> None:
    """There the bound is the continuous Gaussian's; fractional orders and privacy loss distributions are not used."""
    smooth, integer = Spend(1.2, 0.02, 400), Spend(1.2, 0.02, 400, discrete=True)
    whole = tuple(float(order) for order in range(2, 257))
    assert epsilon_rdp([integer], 1e-5) == pytest.approx(epsilon_rdp([smooth], 1e-5, orders=whole), rel=1e-3)
    assert epsilon_prv([smooth], 1e-5) <= epsilon_rdp([smooth], 1e-5) <= epsilon_rdp([integer], 1e-5)
    with pytest.raises(ValueError, match="discrete"):
        epsilon_prv([smooth, integer], 1e-5)
    assert epsilon_of_studies([[integer]], 1e-5) == epsilon_rdp([integer], 1e-5)
    assert with_plan([replace(integer, steps=3)], [integer]) == [integer]


def test_noise_that_changes_is_calibrated_as_a_whole() -> None:
    phases, besides = ((1.0, 50), (0.7, 30)), (Spend(9.0, 0.1, 5),)
    for discrete in (False, True):
        extra = tuple(replace(spend, discrete=discrete) for spend in besides)
        sigma = calibrate_noise(
            epsilon=3.0, delta=1e-5, sampling_rate=0.05, steps=phases, discrete=discrete, besides=extra
        )
        history = [*extra, Spend(sigma, 0.05, 50, discrete), Spend(0.7 * sigma, 0.05, 30, discrete)]
        reached = epsilon_rdp(history, 1e-5) if discrete else epsilon_prv(history, 1e-5)
        assert 2.9 < reached <= 3.0


@pytest.mark.parametrize("std", [0.6, 0.8, 1.0])
@pytest.mark.parametrize("shares", [2, 3, 5])
def test_a_sum_of_shares_is_nearly_one_discrete_gaussian(std, shares) -> None:
    """The published bound on its log-probabilities, by convolution; it falls with exp(-2 pi^2 std^2)."""
    x = np.arange(-60, 61)

    def pmf(variance):
        weight = np.exp(-(x.astype(np.longdouble) ** 2) / (2 * variance))
        return weight / weight.sum()

    total = pmf(std**2)
    for _ in range(shares - 1):
        total = np.convolve(total, pmf(std**2), mode="same")
    middle = np.abs(x) <= 6 * std * shares**0.5
    distance = float(np.abs(np.log(total[middle] / pmf(shares * std**2)[middle])).max())
    tau = 5 * sum(math.exp(-2 * math.pi**2 * std**2 * j / (j + 1)) for j in range(1, shares))
    assert distance <= tau
    assert 5 * math.exp(-2 * math.pi**2 * FEWEST_NOISE_LEVELS**2 / 2) < 1e-270


@pytest.mark.parametrize(
    ("sensitivity", "sigma", "q", "steps"), [(10, 1.2, 0.1, 50), (40, 0.8, 0.02, 200), (3, 2.0, 0.3, 30)]
)
def test_an_independent_accountant_of_integer_noise_agrees(sensitivity, sigma, q, steps) -> None:
    """dp-accounting's privacy loss distribution of the subsampled discrete Gaussian itself, in one dimension."""
    exact = from_discrete_gaussian_mechanism(
        sigma=sigma * sensitivity,
        sensitivity=sensitivity,
        sampling_prob=q,
        value_discretization_interval=1e-4,
    ).self_compose(steps)
    truth = exact.get_epsilon_for_delta(1e-5)
    stated = epsilon_rdp([Spend(sigma, q, steps, discrete=True)], 1e-5)
    assert truth <= stated <= 1.25 * truth
    assert truth == pytest.approx(epsilon_prv([Spend(sigma, q, steps)], 1e-5), rel=0.01)
