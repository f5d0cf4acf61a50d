"""Check of a family of statistics by attack: one patient, in or out by a coin, and an attacker who knows all others.

The attacker has the sum, and every other patient's vector; in mode distributed it is one of the sites and takes its
own noise off. What is left is the canary's vector or nothing, in noise: the projection on that vector is all that
can be known (the likelihood ratio of two Gaussians with one covariance is a function of it).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fedgen.mechanisms.schedule import Query
from fedgen.selftest.finding import CheckResult, at_most
from fedgen.selftest.sums import PATIENTS, SILENT, SumSubject, cohort_of, fresh_networks, plan_of
from fedgen_privacy.accounting import Spend, epsilon_reported
from fedgen_privacy.distributed import NoiseShare, noise_share
from fedgen_privacy.statistics.two_worlds import epsilon_lower_bound

CANARY = "canary in a sum"
#: Right noise fails with a probability of 1e-6 at most; 30 % of it passes with one below 1e-6.
DELTA, CONFIDENCE = 1e-3, 1 - 1e-6
#: Sums of each mode, and their sigma.
RUNS, SIGMA = 400, 1.0
#: Sites that make the noise: the canary's, which has the first `HALF` patients; one with the rest; and the attacker.
SITES, HALF = 3, PATIENTS // 2


def errors(subject: SumSubject, sigma: float, runs: int, *, together: bool) -> int:
    """Attack a sum again and again; how often the guess is wrong.

    Args:
        subject: a statistic; its `mean`, `levels` and `random` are what runs.
        sigma: noise multiplier that is claimed.
        runs: each with a fair coin.
        together: whether the sites make one noise, or each its own.
    """
    networks, random = fresh_networks(subject, torch.float32), subject.random
    query, plan = Query(subject.statistic), plan_of(subject)
    share = _share(subject, sigma)
    here = {there: cohort_of(subject, range(0 if there else 1, HALF), alike=True) for there in (False, True)}
    elsewhere = cohort_of(subject, range(HALF, PATIENTS))

    def released(there: bool, noisy: bool) -> Tensor:
        if not together:
            noise = sigma if noisy else None
            return here[there].n_patients * subject.mean(query, networks, here[there], plan, noise, random())
        some = share if noisy else replace(share, std=SILENT)
        parts = [
            subject.levels(query, networks, cohort, plan, some, random())
            for cohort in (here[there], elsewhere)
        ]
        return (parts[0].double() + parts[1].double()) / share.scale

    without = released(False, False)
    vector = (released(True, False) - without).double()
    # The threshold is half of the canary's length, fixed before any run.
    return sum(
        bool((released(there, True) - without).double() @ vector > vector @ vector / 2) != there
        for there in np.random.default_rng().random(runs) < 0.5
    )


def canary(subject: SumSubject) -> CheckResult:
    """The lower bound of epsilon that an attacker's guesses prove, in either mode, is not above the claim."""
    found, claims = [], []
    # One noise of all sites is of integers.
    for together in (False, True):
        claims.append(epsilon_reported([Spend(SIGMA, 1.0, 1, together)], DELTA))
        wrong = errors(subject, SIGMA, RUNS, together=together)
        found.append(epsilon_lower_bound(wrong, RUNS, DELTA, confidence=CONFIDENCE) / claims[-1])
    sentence = (
        f"lower bound of epsilon from {2 * RUNS} sums with and without one patient, over what is claimed ("
        f"{claims[0]:.2f} with each site's noise, {claims[1]:.2f} with the sites' together)"
    )
    return at_most(CANARY, subject.family, max(found), 1.0, sentence)


def _share(subject: SumSubject, sigma: float) -> NoiseShare:
    return noise_share(
        clipping_norm=1.0,
        noise_multiplier=sigma,
        dimension=subject.statistic.length,
        expected_batch=float(PATIENTS),
        needed=SITES,
        colluders=1,
        sites=SITES,
    )
