"""Epsilon of everything a site's patients have been through: several studies, each with steps of its own.

Two bounds exist (see fedgen_privacy.accounting). Renyi curves add up whatever the next study's noise and number of
steps were chosen from, even from earlier releases (Feldman and Zrnic, NeurIPS 2021), but lie some 7 to 12 % above
the truth. Privacy loss distributions (PRV) are nearly exact, yet may be added up only where the parameters were fixed
beforehand: the filter "go on while the composed distributions stay below epsilon" is NOT private against parameters
chosen on the way (Regehr et al. 2026, arXiv 2602.15815; arXiv 2602.06756). A single study is of the second kind: its
noise and steps follow from the study file and the number of patients before round 1, and stopping it early is
post-processing of the whole. A site's history of studies is of the first kind: what is asked next may depend on what
was learnt before. Hence: one study by the smaller of both bounds, so that a study calibrated by PRV to exactly the
site's limit is not refused in its last round for the slack of the other bound; several studies by RDP. Integer
noise has no PRV bound, so that a study with such noise is counted by RDP as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from fedgen_privacy.accounting import Spend, epsilon_prv, epsilon_rdp
from fedgen_privacy.errors import PrivacyRefusedError

#: Steps charged in a study; None stands for work without privacy.
Spends = Sequence[Spend | None]


def epsilon_of_studies(studies: Iterable[Spends], delta: float, *, enough: float = 0.0) -> float:
    """Epsilon at `delta` of all of the studies together.

    Args:
        studies: the steps of each study; one whose parameters are not fixed before its first step must be given
            as several.
        delta: in (0, 1).
        enough: a bound at or below this is good enough: the dearer, tighter one is then left out.

    Returns:
        An upper bound, 0 for nothing spent and infinity where a part of the work had no privacy. Adding steps
        lowers it by no more than the width of the PRV bound's numerical error (PRV_RELATIVE_ERROR).
    """
    whole = [list(spends) for spends in studies]
    if any(spend is None for spends in whole for spend in spends):
        return math.inf
    active = [kept for spends in whole if (kept := [spend for spend in spends if spend and spend.steps])]
    together = [spend for spends in active for spend in spends]
    bound = epsilon_rdp(together, delta)
    if len(active) != 1 or bound <= enough or any(spend.discrete for spend in together):
        return bound
    try:
        return min(bound, epsilon_prv(together, delta))
    except PrivacyRefusedError:
        # The numerical bound does not exist here; the Renyi bound holds all the same.
        return bound


def with_plan(charged: Spends, plan: Spends) -> list[Spend | None]:
    """A study's steps once its whole plan is done, where those charged so far are part of the plan.

    Of each mechanism as many steps as planned, or as charged where that is more.
    """
    without = [None] if None in (*charged, *plan) else []
    steps = _steps(charged) | _steps(plan)
    return [*without, *(Spend(sigma, q, count, discrete) for (sigma, q, discrete), count in steps.items())]


def is_done(charged: Spends, plan: Spends) -> bool:
    """Whether all of a plan is charged, so that nothing of it is still to come."""
    return not (None in plan and None not in charged) and not (_steps(plan) - _steps(charged))


def _steps(spends: Spends) -> Counter[tuple[float, float, bool]]:
    steps: Counter[tuple[float, float, bool]] = Counter()
    for spend in spends:
        if spend is not None:
            steps[spend.noise_multiplier, spend.sampling_rate, spend.discrete] += spend.steps
    return steps
