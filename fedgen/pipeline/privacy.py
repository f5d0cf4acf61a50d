"""What the training cost in privacy, said in one true sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedgen.mechanisms.statement import NOTHING
from fedgen.pipeline.entries import start_of
from fedgen.planning.mode_cost import mode_cost
from fedgen.protocol.messages import SiteDescription
from fedgen.recipe import Recipe
from fedgen.run.events import AskedSite
from fedgen.run.privacy_file import PrivacyFile, SitePrivacy
from fedgen.study.study import Study
from fedgen_privacy.accounting import Spend


def privacy_report(
    recipe: Recipe,
    sites: Sequence[AskedSite | SiteDescription],
    ledgers: Mapping[str, Sequence[Spend]],
    shared_patients: int | None,
    limits: Sequence[str] = (),
) -> PrivacyFile:
    """privacy.json.

    Args:
        recipe: of the study.
        sites: what each site planned.
        ledgers: what was spent on this study at each site: what its ledger says, or a bound of it.
        shared_patients: patients present at more than one site; None where nobody can count them.
        limits: more that the claim does not say.
    """
    study, mechanism = recipe.study, recipe.mechanism
    privacy = study.privacy
    rows = []
    for site in sites:
        spends = list(ledgers.get(site.site, ()))
        promise = mechanism.statement(spends)
        rows.append(
            SitePrivacy(
                site=site.site,
                patients=site.patients,
                sampling_rate=site.sampling_rate,
                noise_multiplier=site.noise_multiplier if mechanism.private else None,
                steps=sum(spend.steps for spend in spends) if mechanism.private else None,
                epsilon=promise.epsilon,
                epsilon_rdp=promise.epsilon_rdp,
            )
        )
    epsilon = max((row.epsilon for row in rows if row.epsilon is not None), default=None)
    promise = NOTHING if epsilon is None else mechanism.statement([])
    return PrivacyFile(
        unit=privacy.unit,
        mode=privacy.mode,
        statement=_statement(study, epsilon, promise.holds_against, shared_patients),
        epsilon=epsilon,
        delta=privacy.delta if epsilon is not None else None,
        accountant=promise.accountant,
        holds_against=promise.holds_against,
        clipping_norm=privacy.clipping_norm if epsilon is not None else None,
        multiplicity=privacy.multiplicity,
        images_per_patient=study.data.images_per_patient,
        shared_patients=shared_patients,
        start=start_of(recipe),
        sites=tuple(rows),
        limits=(*promise.limits, *limits) if epsilon is not None else (),
        mode_cost=mode_cost(study, [site.patients for site in sites]) if epsilon is not None else None,
    )


def rounded_up(epsilon: float) -> float:
    """The next hundredth, upwards: a printed epsilon must not be below the true one."""
    return math.ceil(epsilon * 100) / 100


def _statement(study: Study, epsilon: float | None, holds_against: str, shared_patients: int | None) -> str:
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
    return f"{what}; this holds against {holds_against}.{_start(study)}"


def _start(study: Study) -> str:
    start = study.model.start
    if start is None:
        return ""
    prior = study.model.prior
    if prior is not None and prior.phantom is not None:
        return f" Training stood on a public prior made of {prior.words}."
    source = start.words if start.words.endswith((".", "!", "?")) else f"{start.words}."
    says = (
        "Nothing here bounds what is revealed of the data of the start"
        if not study.privacy.private
        else "The guarantee is about the patients of this study, and not about the data its start was trained on"
    )
    what = "stood on a public prior" if prior is not None else "started from pretrained weights"
    return f" Training {what} (sha256 {start.sha256}). {says}: {source}"
