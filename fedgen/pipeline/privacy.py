"""What the training cost in privacy, said in one true sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedgen.pipeline.summary import start_of
from fedgen.protocol.messages import SiteDescription
from fedgen.study.study import Study
from fedgen_privacy.accounting import Spend, epsilon_rdp, epsilon_reported

LOCAL = (
    "the coordinator, every other site, and anyone who sees the model or the synthetic images, "
    "whatever else they know"
)
LIMITS = (
    "The number of training patients of each site is treated as public.",
    "Audit and evaluation results depend on the patients' data and are not covered by the training's epsilon.",
)
LIMITS_OF = {
    "local": (
        "Noise is added in floating point, whose own leakage (Mironov 2012) is not part of the accounting.",
    ),
    "distributed": (
        "The noise is the sites' together: a site that adds less than it should weakens the guarantee of the others.",
        "A coordinator that breaks the protocol, by sites it made up or by asking a single site, is kept off by the "
        "sites' roster and thresholds, not by the noise.",
    ),
}


def holds_against(study: Study) -> str:
    """Whom the guarantee of a study with privacy holds against."""
    if study.privacy.mode == "local":
        return LOCAL
    c = max(1, study.aggregation.colluders)
    others = "any one of the other sites" if c == 1 else f"any {c} of the other sites"
    return (
        f"a coordinator that follows the protocol, even together with {others}, and anyone who sees the model or the "
        "synthetic images, as long as the remaining sites add the noise that the study asks of them"
    )


def privacy_report(
    study: Study,
    sites: Sequence[SiteDescription],
    ledgers: Mapping[str, Sequence[Spend]],
    shared_patients: int | None,
    limits: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of privacy.json.

    Args:
        study: the resolved study.
        sites: what each site planned.
        ledgers: what was spent on this study at each site: what its ledger says, or a bound of it.
        shared_patients: patients present at more than one site; None where nobody can count them.
        limits: more that the claim does not say.
    """
    privacy = study.privacy
    rows = []
    for site in sites:
        spends = list(ledgers.get(site.site, ()))
        private = privacy.mode != "none"
        rows.append(
            {
                "site": site.site,
                "patients": site.patients,
                "sampling_rate": site.sampling_rate,
                "noise_multiplier": site.noise_multiplier if private else None,
                "steps": sum(spend.steps for spend in spends) if private else None,
                "epsilon": epsilon_reported(spends, privacy.delta) if private else None,
                "epsilon_rdp": epsilon_rdp(spends, privacy.delta) if private else None,
            }
        )
    epsilons = [row["epsilon"] for row in rows if isinstance(row["epsilon"], float)]
    epsilon = max(epsilons, default=None)
    return {
        "unit": privacy.unit,
        "mode": privacy.mode,
        "statement": _statement(study, epsilon, shared_patients),
        "epsilon": epsilon,
        "delta": privacy.delta if epsilon is not None else None,
        "accountant": _accountant(study) if epsilon is not None else None,
        "holds_against": holds_against(study) if epsilon is not None else "nobody",
        "clipping_norm": privacy.clipping_norm if epsilon is not None else None,
        "multiplicity": privacy.multiplicity,
        "images_per_patient": study.data.images_per_patient,
        "shared_patients": shared_patients,
        "start": start_of(study),
        "sites": rows,
        "limits": [*LIMITS, *LIMITS_OF[privacy.mode], *limits] if epsilon is not None else [],
    }


def _accountant(study: Study) -> str:
    return "PRV" if study.privacy.mode == "local" else "RDP at whole orders"


def rounded_up(epsilon: float) -> float:
    """The next hundredth, upwards: a printed epsilon must not be below the true one."""
    return math.ceil(epsilon * 100) / 100


def _statement(study: Study, epsilon: float | None, shared_patients: int | None) -> str:
    if epsilon is None:
        return (
            "This model was trained WITHOUT differential privacy: nothing bounds what the model and the synthetic "
            "images reveal about the patients they were trained on."
        ) + _start(study)
    what = (
        f"Training was ({rounded_up(epsilon):.2f}, {study.privacy.delta:g})-differentially private for each patient "
        "at each site, all images of the patient together, under adding or removing one patient"
    )
    if shared_patients is None:
        what += (
            " (nobody can count the patients who are at more than one site; for them the epsilons and deltas of their "
            "sites add up)"
        )
    elif shared_patients:
        noun = "patient is" if shared_patients == 1 else "patients are"
        what += (
            f" ({shared_patients} {noun} at more than one site, and for them the epsilons and deltas of their "
            "sites add up)"
        )
    return f"{what}; this holds against {holds_against(study)}.{_start(study)}"


def _start(study: Study) -> str:
    start = study.model.pretrained
    if start is None:
        return ""
    source = start.source if start.source.endswith((".", "!", "?")) else f"{start.source}."
    says = (
        "Nothing here bounds what is revealed of the data of the start"
        if study.privacy.mode == "none"
        else "The guarantee is about the patients of this study, and not about the data its start was trained on"
    )
    return f" Training started from pretrained weights (sha256 {start.sha256}). {says}: {source}"


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The `privacy` entry of run.json."""
    sites: Sequence[Mapping[str, Any]] = report["sites"]
    return {
        "unit": report["unit"],
        "mode": report["mode"],
        "epsilon": {"max": report["epsilon"], "sites": {row["site"]: row["epsilon"] for row in sites}},
        "delta": report["delta"],
        "accountant": report["accountant"],
        "noise_multiplier": {row["site"]: row["noise_multiplier"] for row in sites},
        "sampling_rate": {row["site"]: row["sampling_rate"] for row in sites},
        "steps": {row["site"]: row["steps"] for row in sites},
        "holds_against": report["holds_against"],
        "statement": report["statement"],
    }
