"""Measures and the privacy numbers of a study, each as the study sets it: what is off is said in capitals."""

from __future__ import annotations

from fedgen.mechanisms.statement import rounded_up
from fedgen.planning.dpia.blanks import blank
from fedgen.planning.dpia.figures import PlannedFigures
from fedgen.study.study import Study


def measures(figures: PlannedFigures) -> list[str]:
    """Technical and organisational measures."""
    study = figures.study
    return [
        _privacy(figures),
        _secure(study),
        "No image leaves the site; the site runs code that it installed itself, opens no port, and takes data and "
        "never code from the coordinator.",
        "The site's own policy, its approval of this very study (by sha256) and its ledger over all studies are asked "
        "on its own machine before each round. Limits of the policy: "
        f"{blank('maximum_epsilon, families, minimum_sites and metrics of site.yaml')}",
        "The ledger is written to disk before a patient is read, and refuses what would exceed the budget.",
        "TLS to one pinned authority, keys made at the site, a signed study, a log of everything sent, written before "
        "it is sent.",
        _release(study),
        f"At the hospital: {blank('encrypted disk, access to the machine, backup of the ledger, who reads the log')}",
    ]


def _privacy(figures: PlannedFigures) -> str:
    privacy = figures.study.privacy
    if not privacy.private:
        return (
            "NO DIFFERENTIAL PRIVACY (privacy.mode: none): neither clipping nor noise. Nothing bounds what the model "
            "and the release tell of a single patient."
        )
    text = (
        f"Differential privacy, mode {privacy.mode}: epsilon {privacy.epsilon:g} at delta {privacy.delta:g} a "
        f"{privacy.unit} over the whole study at most, in training. It holds against {figures.holds_against}."
    )
    if privacy.allow_large_delta:
        text += (
            " It ACCEPTS A LARGE DELTA (privacy.allow_large_delta), which permits publishing a whole patient."
        )
    return text


def _secure(study: Study) -> str:
    section = study.aggregation
    if not section.secure:
        return (
            "SECURE AGGREGATION IS OFF (aggregation.secure: false): the coordinator sees each site's own update"
            + (
                ", with its privacy noise."
                if study.privacy.private
                else " WITHOUT NOISE, from which images can be reconstructed."
            )
        )
    helped = (
        "as long as no other site helps it"
        if not section.colluders
        else f"even if up to {section.colluders} other sites tell it all they know"
    )
    return (
        f"Secure aggregation: the coordinator learns the sum of at least {section.minimum_sites} sites and no single "
        f"one's part, {helped}."
    )


def _release(study: Study) -> str:
    section = study.release
    parts = [
        "Audits for memorisation against held-out patients; no release where the verdict is FAIL or INSUFFICIENT"
    ]
    parts.append(
        "REVIEW can be accepted by a named person with a reason"
        if section.review == "ask"
        else "REVIEW is refused too"
    )
    parts.append(
        "NO LIMIT OF EPSILON (release.largest_epsilon: null), so that a model without privacy may be released too"
        if section.largest_epsilon is None
        else f"no release above epsilon {section.largest_epsilon:g}, and none without privacy"
    )
    parts.append(
        "a receipt of every site is required"
        if section.require_receipts
        else "receipts of the sites are NOT required"
    )
    return "; ".join(parts) + "."


def numbers(figures: PlannedFigures) -> list[str]:
    """What the promise costs and leaves, as `fedgen privacy plan` computes it."""
    study, found = figures.study, figures.forecast
    if not study.privacy.private:
        return [
            "None: without differential privacy there is no epsilon, which is not the same as a small one."
        ]
    if found is None:
        return [
            "NOT COMPUTED: nobody said how many training patients the sites have. Run `fedgen study dpia` again with "
            "--patients N for each site. Until then the upper bound is that of section 4, if every site can reach it."
        ]
    lines = []
    for size in found.sizes:
        spend, epsilon = size.plan.spend, size.plan.epsilon
        assert spend is not None and epsilon is not None
        whose = (
            f"All sites together with {size.plan.patients} training patients"
            if found.pooled
            else f"{size.sites} site{'s' * (size.sites > 1)} with {size.plan.patients} training patients"
        )
        lines.append(
            f"{whose}: epsilon {rounded_up(epsilon):.2f} (accountant {found.accountant}), noise sigma "
            f"{spend.noise_multiplier:.3g}, sampling rate {spend.sampling_rate:.3g}, "
            f"{spend.steps * study.training_rounds} step{'s' * (spend.steps * study.training_rounds > 1)}."
        )
        if study.privacy.delta * size.plan.patients >= 1:
            lines[-1] += " DELTA IS 1 / PATIENTS OR MORE."
    if found.evidence is not None:
        lines.append(
            f"Of it audit and evaluation cost {rounded_up(found.evidence.epsilon):.2f} for every patient of a site, "
            f"and the training {rounded_up(found.evidence.epsilon_training):.2f}."
        )
    if figures.mode_cost is not None:
        lines.append(figures.mode_cost)
    if figures.useless is not None:
        lines.append(f"{figures.useless}. Patients would pay for it all the same.")
    fewest = study.aggregation.minimum_sites
    if found.sites < fewest:
        lines.append(f"Only {found.sites} of the {fewest} sites that must take part are counted here.")
    return lines
