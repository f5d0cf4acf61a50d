"""The attack on the sums of every family that has some: below the claim as installed, above it with weak noise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedgen.families.registry import specs
from fedgen.mechanisms.statistics import levels_of_site
from fedgen.selftest.sum_canaries import DELTA, SIGMA, canary, errors
from fedgen.selftest.sums import installed_sums, sum_faults
from fedgen_privacy.statistics.two_worlds import epsilon_lower_bound, gaussian_epsilon, mu_lower_bound

SUMS = [name for name, spec in specs().items() if spec.sums]


@pytest.fixture(params=SUMS)
def subject(request):
    return installed_sums(request.param)[0]


def weak_levels(query, networks, cohort, plan, share, random):
    """30 % of a site's share of the noise."""
    return levels_of_site(
        query, networks, cohort, plan, replace(share, std=max(0.5, 0.3 * share.std)), random
    )


def test_right_noise_passes(subject) -> None:
    found = canary(subject)
    assert found.passed and found.measured > 0, found


def test_weak_noise_is_beyond_the_claim(subject) -> None:
    claim = gaussian_epsilon(1 / SIGMA, DELTA)
    for together, weak in (
        (False, sum_faults(subject)["30 % of a sum's noise"]),
        (True, replace(subject, levels=weak_levels)),
    ):
        assert epsilon_lower_bound(errors(weak, SIGMA, 200, together=together), 200, DELTA) > 1.2 * claim


@pytest.mark.parametrize("together", [False, True])
def test_without_privacy_worth_the_name_the_attacker_is_always_right(subject, together) -> None:
    """Epsilon of some 10^4: a positive control, whose bound is as high as so few runs can prove."""
    claim = gaussian_epsilon(1 / 0.01, DELTA)
    assert claim > 5000
    assert errors(subject, 0.01, 120, together=together) == 0
    assert 8 < epsilon_lower_bound(0, 120, DELTA) < claim


def test_the_attacker_is_as_good_as_the_mechanism_allows(subject) -> None:
    """The bound is near the truth of a patient of norm 1, or a small leak would go unnoticed."""
    assert 0.3 < mu_lower_bound(errors(subject, SIGMA, 400, together=False), 400) < 1.2
