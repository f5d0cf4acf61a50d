"""What the numbers of an evaluation do not say."""

from __future__ import annotations

from fedgen.evidence.downstream.downstream import Downstream

_ALWAYS = (
    "One synthetic set of one trained generator was evaluated: no spread covers training it again.",
    "Intervals cover the choice of test patients and std_seeds the classifier's seed; they are not corrected "
    "for the number of comparisons.",
    "FID and KID are in offline extractors' features and cannot be compared with published Inception FID.",
    "The classifier is small and its steps are fixed: compare arms with each other, not with the best "
    "model for the task.",
    "These numbers are computed from real patients and are not covered by the training's epsilon.",
)
_POOLED = "TRTR pools the real images of all sites, which a simulation can do and a federation cannot."
FEW_PATIENTS = 30


def limits_of(downstream: Downstream) -> tuple[str, ...]:
    """The standing limits, and those that this result shows."""
    found = [*_ALWAYS, _POOLED] if len(downstream.test_patients) > 1 else list(_ALWAYS)
    patients = sum(downstream.test_patients)
    if patients < FEW_PATIENTS:
        found.append(
            f"Only {patients} test patients: intervals from so few are uncertain, mostly too narrow."
        )
    shuffled = next(arm for arm in downstream.arms if arm.arm == "TSTR-shuffled").pooled.scores["auroc"]
    if shuffled is not None and not shuffled.low <= 0.5 <= shuffled.high:
        found.append(
            f"The control with shuffled labels is not at chance (AUROC {shuffled.value:.2f}): the other "
            "arms' distance from 0.5 may be luck of the seeds as well."
        )
    return tuple(found)
