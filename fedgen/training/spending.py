"""What each aggregation of a study costs: the training rounds by the schedule of noise, and the warm start."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

from fedgen.study.study import Study
from fedgen_privacy.accounting import Spend, calibrate_noise, epsilon_rdp


def noise_factor(study: Study, training_round: int) -> float:
    """Factor on the noise multiplier in a round of the training, counted from 1."""
    return _factor(study, study.privacy.schedule.noise_factor, training_round)


def clipping_norm(study: Study, training_round: int) -> float:
    """C in a round of the training."""
    factor = _factor(study, study.privacy.schedule.clipping_factor, training_round)
    return factor * study.privacy.clipping_norm


def _factor(study: Study, factors: tuple[float, ...], training_round: int) -> float:
    """The factor of the last point that was reached; 1 before the first."""
    reached = bisect_right(study.privacy.schedule.from_round, training_round)
    return factors[reached - 1] if factors and reached else 1.0


def warm_start_spend(study: Study) -> Spend | None:
    """What the central images cost; None where the study asks for none or has no privacy."""
    asked = study.privacy.central_images
    if asked is None or study.privacy.mode == "none":
        return None
    discrete = study.privacy.mode == "distributed"
    return Spend(asked.noise_multiplier, asked.sampling_rate, asked.images, discrete)


def spend_of(study: Study, round: int, base: Spend) -> Spend:
    """What one aggregation costs a site.

    Args:
        study: a study with privacy.
        round: of the aggregation, from 1; the warm start counts.
        base: what the first round of the training costs the site.
    """
    warm = warm_start_spend(study)
    if study.is_warm_start(round):
        assert warm is not None
        return warm
    factor = noise_factor(study, training_round(study, round))
    return replace(base, noise_multiplier=factor * base.noise_multiplier)


def training_round(study: Study, round: int) -> int:
    """Number of a training round, from 1, for the number of its aggregation."""
    return round - (study.total_rounds - study.training.rounds)


def history(study: Study, base: Spend, rounds: int | None = None) -> list[Spend]:
    """What the first `rounds` aggregations cost a site, or all of them; one spend for each kind of step."""
    merged: dict[tuple[float, float], Spend] = {}
    for round in range(1, (study.total_rounds if rounds is None else rounds) + 1):
        spend = spend_of(study, round, base)
        key = (spend.noise_multiplier, spend.sampling_rate)
        merged[key] = replace(spend, steps=spend.steps + (merged[key].steps if key in merged else 0))
    return list(merged.values())


def calibrated(study: Study, sampling_rate: float, steps_per_round: int) -> Spend:
    """What the first round of the training costs, with the noise that keeps the whole study within its epsilon.

    Raises:
        PrivacyRefusedError: no noise does.
    """
    privacy = study.privacy
    phases: dict[float, int] = {}
    for round in range(1, study.training.rounds + 1):
        factor = noise_factor(study, round)
        phases[factor] = phases.get(factor, 0) + steps_per_round
    warm = warm_start_spend(study)
    discrete = privacy.mode == "distributed"
    sigma = calibrate_noise(
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        sampling_rate=sampling_rate,
        steps=tuple(phases.items()),
        discrete=discrete,
        besides=() if warm is None else (warm,),
    )
    return Spend(sigma, sampling_rate, steps_per_round, discrete)


def epsilon_after(study: Study, base: Spend, delta: float, rounds: int) -> float:
    """Epsilon at `delta` of the first `rounds` aggregations at a site, by RDP: an upper bound."""
    return epsilon_rdp(history(study, base, rounds), delta)
