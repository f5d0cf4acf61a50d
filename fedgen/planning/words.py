"""A forecast in plain sentences, and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from fedgen.planning.forecast import EvidenceCost, Forecast, SiteForecast
from fedgen.planning.published import DESCRIPTION, IMAGES
from fedgen.planning.signal import Signal
from fedgen.study.study import Study

#: Whom the noise of a mode keeps off.
PROTECTS = {
    "local": "protects against everybody, the other sites and the coordinator too",
    "distributed": "protects against everybody outside, as long as the sites keep to the protocol",
}

MEANING = (
    "Signal to noise is an upper bound and no forecast of quality: B / (sigma sqrt(P)) in one step, times sqrt(T) over "
    "T steps and sqrt(n) over n such sites, as if every patient's gradient were clipped and all of them pointed the "
    "same way; real gradients disagree, so the true ratio is lower, by an unknown factor."
)

MEANING_OF_A_SUM = (
    "Signal to noise is an upper bound and no forecast of quality: N / (sigma sqrt(P)) for one sum of P numbers over N "
    "patients, times sqrt(n) over n such sites, as if every patient's vector were as long as it may be and all of them "
    "pointed the same way. A class has its share of it: what is told of a rare one is mostly the prior."
)


def sentences(forecast: Forecast) -> list[str]:
    """What the numbers mean, and what would help; one sentence or two each."""
    compared = forecast.reference.plan
    lines = [MEANING_OF_A_SUM]
    if forecast.study.steps:
        lines = [
            MEANING,
            f"No published threshold of this ratio is known to us; the reference is {DESCRIPTION} with "
            f"{_grouped(IMAGES)} images at one place in batches of {_grouped(compared.local.batch)}, by the same "
            "formula.",
        ]
    for size in forecast.sizes:
        lines.append(_advice(forecast, size))
    if forecast.evidence is not None:
        lines.append(_evidence(forecast, forecast.evidence))
    fewest = forecast.study.aggregation.minimum_sites
    if forecast.sites < fewest:
        lines.append(
            f"This plan has {forecast.sites} of the {fewest} sites that aggregation.minimum_sites asks for: as it is, "
            "the study would not start."
        )
    return lines


def _evidence(forecast: Forecast, evidence: EvidenceCost) -> str:
    return (
        f"Of epsilon {forecast.study.privacy.epsilon:g} noised audit and evaluation take a part: alone they cost every "
        f"patient of a site {evidence.epsilon:.3g} (sigma {evidence.noise_multiplier:.3g}), and the training alone "
        f"{evidence.epsilon_training:.3g}."
    )


def about(number: int) -> str:
    """Rounded up to two significant digits, all that the searches know.

    >>> about(52), about(5746)
    ('52', '5 800')
    """
    unit = 10 ** max(len(str(number)) - 2, 0)
    return _grouped(math.ceil(number / unit) * unit)


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def to_json(forecast: Forecast) -> dict[str, Any]:
    """Everything, as plain values."""
    study, compared = forecast.study, forecast.reference
    assert compared.plan.spend is not None
    return {
        "study": study.study.name,
        "family": study.model.family,
        "unit": study.privacy.unit,
        "target_epsilon": study.privacy.epsilon,
        "delta": study.privacy.delta,
        "accountant": forecast.accountant,
        "rounds": study.training_rounds,
        "sites": forecast.sites,
        "minimum_sites": study.aggregation.minimum_sites,
        "evidence": None if forecast.evidence is None else asdict(forecast.evidence),
        "sizes": [_size(study, size) for size in forecast.sizes],
        "reference": {
            "recipe": DESCRIPTION,
            "patients": IMAGES,
            "batch_patients": compared.plan.local.batch,
            "sampling_rate": compared.plan.spend.sampling_rate,
            "noise_multiplier": compared.plan.spend.noise_multiplier,
            "epsilon": compared.plan.epsilon,
            "signal_to_noise": asdict(compared.signal),
        },
        "sentences": sentences(forecast),
    }


def _size(study: Study, size: SiteForecast) -> dict[str, Any]:
    plan, spend = size.plan, size.plan.spend
    assert spend is not None
    return {
        "sites": size.sites,
        "patients": plan.patients,
        "batch_patients": plan.local.batch,
        "sampling_rate": spend.sampling_rate,
        "noise_multiplier": spend.noise_multiplier,
        "steps_per_round": spend.steps,
        "steps": spend.steps * study.training_rounds,
        "epsilon": plan.epsilon,
        "epsilon_rdp": plan.epsilon_rdp,
        "epsilon_by_round": list(size.epsilon_by_round),
        "signal_to_noise": [asdict(one) for one in size.signals],
        "reaches_reference": size.reached,
        "needed_batch": size.batch,
        "needed_cohort": None if size.cohort is None else asdict(size.cohort),
    }


def weakest(size: SiteForecast) -> Signal:
    """The private objective with the least signal to noise."""
    return min(size.signals, key=lambda one: one.all_sites)


def _advice(forecast: Forecast, size: SiteForecast) -> str:
    patients, least = size.plan.patients, weakest(size).all_sites
    target = forecast.reference.signal.all_sites
    n = f"{forecast.sites} such sites" if forecast.sites > 1 else "this one site"
    start = f"With {patients} training patients, {n} reach at most {least:.2g} where the reference has {target:.2g}"
    if forecast.sites == 1:
        start = start.replace(" reach ", " reaches ")
    each = "a site"
    if forecast.pooled:
        each = "of all sites"
        start = (
            f"With {patients} training patients at all sites together, their sums reach at most {least:.2g} where the "
            f"reference has {target:.2g}"
        )
    if not forecast.study.steps:
        return _advice_on_a_sum(forecast, size, least, n, each)
    if size.reached:
        return f"{start}: noise alone need not stand in the way."
    batch = (
        f"a batch of about {about(size.batch)} would reach it"
        if size.batch is not None
        else "no batch reaches it, not even all patients in every step"
    )
    cohort = (
        f"about {about(size.cohort.patients)} training patients {each} in batches of {about(size.cohort.batch)} would "
        f"(at delta {size.cohort.delta:.2g})"
        if size.cohort is not None
        else "no number of patients does at this sampling rate"
    )
    return f"{start}: at the same steps and epsilon, {batch}, and {cohort}."


def _advice_on_a_sum(forecast: Forecast, size: SiteForecast, least: float, sites: str, each: str) -> str:
    where = "at all sites together" if forecast.pooled else f"at each of {sites}"
    of = f"With {size.plan.patients} training patients {where}"
    start = f"{of} the sum is at most {least:.2g} times as long as its noise"
    if size.reached:
        return f"{start}."
    enough = (
        f"about {about(size.cohort.patients)} training patients {each} would bring it to 1"
        if size.cohort is not None
        else "no number of patients does better"
    )
    return (
        f"{start}: NOTHING USEFUL is to be expected, since the samples would show the public prior and hardly these "
        f"patients; raise privacy.epsilon, or find more patients ({enough})."
    )
