"""Which means to take for a cohort: one stated rule over upper bounds of signal to noise.

The bound says what noise leaves at most and not what a model makes of it, so the rule is one of thumb. Its two
thresholds are where results were published: the same diffusion model on MNIST (`planning.published`), by the same
formula, reaches 12.4 at epsilon 1 (FID 23.4, and a classifier of its samples is right on 93.4 % of real digits) and
2.8 at epsilon 0.2 (FID 61.9, 71.9 %, or 86.3 % with the sampler set for it). Below that we know of no gradients that
were worth it: on chest X-rays of 87 training patients at epsilon 3 the ratio of gradients was 0.04 to 0.14 and that of
a sum about 7, and in two independent measurements the sum's samples were nearer to real images and better teachers than
those of gradients, also of gradients from public pretrained weights. Between the thresholds a sum first is what helped
most on MNIST at epsilon 1 (mean images, DP-FETA: accuracy from 89.2 to 95.6 % in DPImageBench, 2025), and at epsilon 10
it added little. A sum that is shorter than its own noise says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.planning.alternatives import Alternative, most_telling
from fedgen.planning.signal import LEAST_OF_A_SUM

#: The reference's ratio at epsilon 1: from here on gradients.
ENOUGH_FOR_STEPS = 12.4
#: The reference's ratio at epsilon 0.2: from here on gradients after a sum.
LEAST_FOR_STEPS = 2.8


@dataclass(frozen=True)
class Recommendation:
    """What to do.

    Attributes:
        take: the means; None where none is worth its epsilon.
        reason: in a sentence.
    """

    take: Alternative | None
    reason: str


def recommended(found: Sequence[Alternative], preferred: Sequence[str] = ()) -> Recommendation:
    """The one to take.

    Of several families that take steps it is a preferred one where its ratio suffices, else the one of the highest
    ratio; of several sums a preferred one that is above its noise, else the longest that is.

    Args:
        found: every means.
        preferred: families, such as the study's own and the reference's.
    """
    usable = [each for each in found if each.why_not is None]
    steps = _best([each for each in usable if each.kind == "steps"], ENOUGH_FOR_STEPS, preferred)
    twice = _best([each for each in usable if each.kind == "sum then steps"], LEAST_FOR_STEPS, preferred)
    total = most_telling([each for each in usable if each.kind == "sum"], preferred)
    if steps is not None and steps.signal >= ENOUGH_FOR_STEPS:
        return Recommendation(
            steps,
            f"DP-SGD's signal to noise is up to {steps.signal:.2g}, at least the {ENOUGH_FOR_STEPS:g} at which results "
            "were published (MNIST at epsilon 1): this cohort carries gradients",
        )
    little = (
        "no family that takes steps suits the study"
        if steps is None
        else f"DP-SGD's signal to noise is at most {steps.signal:.2g}, where published results begin at "
        f"{LEAST_FOR_STEPS:g} and are good from {ENOUGH_FOR_STEPS:g}"
    )
    if total is None:
        if steps is None:
            return Recommendation(None, "no private family suits the study")
        return Recommendation(steps, f"{little}, and there is no statistic to ask for instead")
    if total.signal < LEAST_OF_A_SUM:
        if steps is not None and steps.signal >= LEAST_FOR_STEPS:
            return Recommendation(steps, f"{little}, and even one sum is shorter than its own noise")
        return Recommendation(
            None,
            f"{little}, and even one sum is at most {total.signal:.2g} times as long as its noise: raise "
            "privacy.epsilon, or find more patients",
        )
    if twice is not None and twice.signal >= LEAST_FOR_STEPS and twice.legs[0].signal >= LEAST_OF_A_SUM:
        return Recommendation(
            twice,
            f"{little}: first one sum with a third of epsilon, then DP-SGD with the rest from weights pretrained on "
            "its samples",
        )
    return Recommendation(
        total,
        f"{little}, and one sum of {total.legs[0].parameters} numbers is up to {total.signal:.2g} times as long as its "
        "noise",
    )


def _best(found: Sequence[Alternative], enough: float, preferred: Sequence[str]) -> Alternative | None:
    for each in found:
        if each.families[-1] in preferred and each.signal >= enough:
            return each
    return max(found, key=lambda each: each.signal, default=None)
