"""What the training cost in privacy, said in one true sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedgen.mechanisms.statement import NOTHING, rounded_up
from fedgen.pipeline.entries import start_of
from fedgen.planning.mode_cost import mode_cost
from fedgen.protocol.messages import SiteDescription
from fedgen.recipe import Recipe
from fedgen.run.events import AskedSite
from fedgen.run.privacy_file import EvidencePaid, PrivacyFile, SitePrivacy
from fedgen.study.study import Study
from fedgen_privacy.accounting import Spend, epsilon_reported


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
        ledgers: what was spent on the training at each site: what its ledger says, or a bound of it. What the evidence
            will cost is added, whether or not it was charged yet.
        shared_patients: patients present at more than one site; None where nobody can count them.
        limits: more that the claim does not say.
    """
    study, mechanism = recipe.study, recipe.mechanism
    privacy = study.privacy
    rows, of_training = [], []
    for site in sites:
        spends = list(ledgers.get(site.site, ()))
        paid = () if mechanism.evidence is None else (mechanism.evidence,)
        promise = mechanism.statement([*spends, *paid])
        of_training.append(mechanism.statement(spends).epsilon if paid else None)
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
    evidence = _evidence(recipe, [each for each in of_training if each is not None])
    return PrivacyFile(
        unit=privacy.unit,
        mode=privacy.mode,
        statement=_statement(study, epsilon, promise.holds_against, shared_patients, evidence),
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
        evidence=evidence,
        mode_cost=mode_cost(study, [site.patients for site in sites]) if epsilon is not None else None,
    )


def _evidence(recipe: Recipe, of_training: Sequence[float]) -> EvidencePaid | None:
    spend = recipe.mechanism.evidence
    if spend is None or not of_training:
        return None
    return EvidencePaid(
        epsilon=epsilon_reported([spend], recipe.study.privacy.delta),
        epsilon_training=max(of_training),
        noise_multiplier=spend.noise_multiplier,
    )


def _statement(
    study: Study,
    epsilon: float | None,
    holds_against: str,
    shared_patients: int | None,
    evidence: EvidencePaid | None,
) -> str:
    if epsilon is None:
        return (
            "This model was trained WITHOUT differential privacy: nothing bounds what the model and the synthetic "
            "images reveal about the patients they were trained on."
        ) + _start(study)
    did = "Training was" if evidence is None else "Training, audit and evaluation together are"
    what = (
        f"{did} ({rounded_up(epsilon):.2f}, {study.privacy.delta:g})-differentially private for each patient "
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
    return f"{what}; this holds against {holds_against}.{_shares(evidence)}{_start(study)}"


def _shares(evidence: EvidencePaid | None) -> str:
    if evidence is None:
        return ""
    return (
        f" Training alone costs epsilon {rounded_up(evidence.epsilon_training):.2f}; the noised audit and evaluation "
        f"alone cost {rounded_up(evidence.epsilon):.2f}, which is all that patients pay who do not train."
    )


def _start(study: Study) -> str:
    read = [
        f" Its losses read {file.what} (sha256 {file.sha256}), and nothing here is about the data that this was "
        f"trained on: {_ended(file.source)}"
        for file in study.model.given_weights
    ]
    return "".join([_started(study), *read])


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _started(study: Study) -> str:
    start = study.model.start
    if start is None:
        return ""
    prior = study.model.prior
    if prior is not None and prior.phantom is not None:
        return f" Training stood on a public prior made of {prior.words}."
    source = _ended(start.words)
    says = (
        "Nothing here bounds what is revealed of the data of the start"
        if not study.privacy.private
        else "The guarantee is about the patients of this study, and not about the data its start was trained on"
    )
    what = "stood on a public prior" if prior is not None else "started from pretrained weights"
    return f" Training {what} (sha256 {start.sha256}). {says}: {source}"
