"""Exact receiver operating characteristic by sorting; ties are one point of the curve, never split."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Roc:
    """Counts at every distinct threshold; the guess is "member" where score >= threshold.

    Attributes:
        thresholds: (T+1,) descending; the first is +inf, where nobody is guessed a member.
        true_positives: (T+1,) members guessed members.
        false_positives: (T+1,) non-members guessed members.
        members: m.
        non_members: n.
    """

    thresholds: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    members: int
    non_members: int

    @property
    def tpr(self) -> NDArray[np.float64]:
        """True positive rate at each threshold."""
        return self.true_positives / self.members

    @property
    def fpr(self) -> NDArray[np.float64]:
        """False positive rate at each threshold."""
        return self.false_positives / self.non_members


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold with the highest TPR among those whose observed FPR does not exceed the target.

    Attributes:
        threshold: guess "member" where score >= threshold.
        true_positives: of `members`.
        false_positives: of `non_members`.
        allowed: floor(target * n), the most false positives the target allows. The threshold lies just
            above the (allowed + 1)-th largest non-member, so its true FPR follows Beta(allowed + 1, n -
            allowed) for continuous scores, and with ties is smaller: the Clopper-Pearson upper limit of
            `allowed` in n holds although the threshold was chosen on the same non-members.
    """

    threshold: float
    true_positives: int
    members: int
    false_positives: int
    non_members: int
    allowed: int

    @property
    def tpr(self) -> float:
        """Observed true positive rate."""
        return self.true_positives / self.members


def _checked(scores: NDArray[np.float64], who: str) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"scores of {who} must be a vector with at least one value")
    if not np.isfinite(values).all():
        raise ValueError(f"scores of {who} must be finite")
    return values


def roc(members: NDArray[np.float64], non_members: NDArray[np.float64]) -> Roc:
    """The exact curve.

    Args:
        members: (m,) scores; higher means more likely a member.
        non_members: (n,) scores.

    Raises:
        ValueError: a side is empty or not finite.
    """
    inside, outside = _checked(members, "members"), _checked(non_members, "non-members")
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    above_inside = inside.size - np.searchsorted(np.sort(inside), thresholds, side="left")
    above_outside = outside.size - np.searchsorted(np.sort(outside), thresholds, side="left")
    return Roc(
        thresholds=np.concatenate([[np.inf], thresholds]),
        true_positives=np.concatenate([[0], above_inside]).astype(np.int64),
        false_positives=np.concatenate([[0], above_outside]).astype(np.int64),
        members=inside.size,
        non_members=outside.size,
    )


def at_fpr(curve: Roc, target: float) -> OperatingPoint:
    """The operating point at a target FPR, conservative: no interpolation, never above the target.

    Raises:
        ValueError: the target is outside [0, 1].
    """
    if not 0 <= target <= 1:
        raise ValueError(f"target FPR {target:g} is outside [0, 1]")
    # 0.01 * 300 must allow 3 false positives although 0.01 is not exact in binary.
    allowed = math.floor(target * curve.non_members + 1e-9)
    best = int(np.searchsorted(curve.false_positives, allowed, side="right")) - 1
    return OperatingPoint(
        threshold=float(curve.thresholds[best]),
        true_positives=int(curve.true_positives[best]),
        members=curve.members,
        false_positives=int(curve.false_positives[best]),
        non_members=curve.non_members,
        allowed=allowed,
    )
