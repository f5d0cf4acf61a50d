"""What a claimed (epsilon, delta) permits a membership attack (Kairouz, Oh and Viswanath 2015, Theorem 2.1).

For neighbouring data sets D, D' and any guess rule, TPR <= e^epsilon FPR + delta and, by exchanging their
roles, 1 - FPR <= e^epsilon (1 - TPR) + delta.

Which neighbours? fedgen's accountants claim epsilon under ADD/REMOVE of one patient: D' is D without the
patient. A game in which every patient is in by an independent coin compares exactly these, so `epsilon`
itself applies. The audit's game is another: the split takes a FIXED NUMBER of patients for training, so a
patient who is out has been REPLACED by another one. D and D' are then two steps of add/remove apart, and
group privacy (Dwork and Roth 2014, Theorem 2.2; with delta: Vadhan 2017, Lemma 2.2) gives
(2 epsilon, (1 + e^epsilon) delta). Only beyond THAT bound does the audit refute the claim.
"""

from __future__ import annotations

import math

#: beyond this exponent e^epsilon * FPR exceeds 1 for every FPR a finite sample can show
_VACUOUS = 700.0


def _check(epsilon: float, delta: float) -> None:
    if not epsilon >= 0 or not 0 <= delta <= 1:
        raise ValueError(f"epsilon {epsilon:g} must not be negative and delta {delta:g} must lie in [0, 1]")


def replace_one(epsilon: float, delta: float) -> tuple[float, float]:
    """(epsilon, delta) under replacement of one patient, from a claim under add/remove.

    Raises:
        ValueError: epsilon is negative or delta outside [0, 1].
    """
    _check(epsilon, delta)
    if delta == 0:
        return 2 * epsilon, 0.0
    return 2 * epsilon, min(1.0, (1 + math.exp(min(epsilon, _VACUOUS))) * delta)


def tpr_bound(fpr: float, epsilon: float, delta: float) -> float:
    """Highest TPR at this FPR of any attack on an (epsilon, delta)-DP mechanism, in [0, 1].

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(epsilon, delta)
    if not 0 <= fpr <= 1:
        raise ValueError(f"FPR {fpr:g} is outside [0, 1]")
    growth = math.exp(min(epsilon, _VACUOUS))
    return min(1.0, growth * fpr + delta, 1 - max(0.0, 1 - delta - fpr) / growth)


def auc_bound(epsilon: float, delta: float) -> float:
    """Highest AUC of any attack: the area under `tpr_bound`; e^epsilon / (1 + e^epsilon) where delta is 0.

    Raises:
        ValueError: epsilon is negative or delta outside [0, 1].
    """
    _check(epsilon, delta)
    # The curve is the polygon (0, delta), (corner, 1 - corner), (1 - delta, 1), (1, 1).
    corner = (1 - delta) / (1 + math.exp(min(epsilon, _VACUOUS)))
    rising = corner * (delta + 1 - corner) / 2
    flattening = (1 - delta - corner) * (2 - corner) / 2
    return rising + flattening + delta


def right_guesses(epsilon: float, delta: float) -> float:
    """Largest share of right guesses whether a patient is in, where half of them are, of any attack.

    Kairouz, Oh and Viswanath (2015), Theorem 2.1: (e^epsilon + delta) / (e^epsilon + 1), under adding or removing one.
    """
    odds = math.exp(-epsilon)
    return (1 + delta * odds) / (1 + odds)
