"""Check by attack: canaries in the trainer, and the epsilon that finding them proves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedgen.selftest.finding import SHARED, CheckResult, at_most
from fedgen.selftest.probe import ProbeSetting, released
from fedgen.selftest.subject import Subject
from fedgen_privacy.accounting import Spend
from fedgen_privacy.statistics.one_run import epsilon_lower_bound

DELTA = 1e-6
#: Canaries: as many as the coordinates of the probe, so that none hides another.
SIDE = 56
CANARIES = SIDE**2
#: Guesses for each answer, fixed before any score is seen: the twelfth with the highest and with the lowest scores.
GUESSES = CANARIES // 12
#: Each of few steps reads every canary: subsampling has a check of its own and would blunt this one. At
#: this sigma (epsilon 2.1) a right trainer fails with a probability below 1e-30, and 30 % of the noise passes with one
#: below 1e-7.
STEPS, SAMPLING_RATE, SIGMA = 2, 1.0, 3.0


def canaries(subject: Subject) -> CheckResult:
    """The 95 % lower bound of epsilon from one run of the trainer with canaries is not above the claim.

    A canary's score is the sum over steps of the released gradient at the canary's own coordinate.
    """
    claim = subject.epsilon([Spend(SIGMA, SAMPLING_RATE, STEPS)], DELTA)
    coins = torch.from_numpy(np.random.default_rng().random(CANARIES) < 0.5)
    setting = ProbeSetting(
        side=SIDE,
        images=1,
        steps=STEPS,
        batch=CANARIES // 2,
        sampling_rate=SAMPLING_RATE,
        clipping_norm=1.0,
        noise_multiplier=SIGMA,
        present=torch.nonzero(coins).flatten(),
    )
    bound = epsilon_lower_bound(
        CANARIES, 2 * GUESSES, _correct(released(subject, setting).sum(dim=0), coins), DELTA
    )
    sentence = f"95 % lower bound of epsilon from {CANARIES} canaries in one run, against the epsilon that is claimed"
    return at_most("canary audit", SHARED, bound, claim, sentence)


def _correct(scores: Tensor, coins: Tensor) -> int:
    order = torch.argsort(scores)
    return int(coins[order[-GUESSES:]].sum() + (~coins[order[:GUESSES]]).sum())
