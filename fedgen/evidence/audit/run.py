"""All audits of one release: `run_audit`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.attacks import Score, loss_attack, release_attack
from fedgen.evidence.audit.audited import AuditedSite, Group, cohorts, group
from fedgen.evidence.audit.blind import blind_baseline
from fedgen.evidence.audit.comparison import compare
from fedgen.evidence.audit.copies import copy_detection
from fedgen.evidence.audit.data_copying import data_copying
from fedgen.evidence.audit.membership import Rules, membership
from fedgen.evidence.audit.result import AuditResult, Evidence, Verdict
from fedgen.evidence.audit.verdict import decide, overall
from fedgen.study.training import AuditSection
from fedgen_privacy.statistics.auc import minimum_detectable

_MODEL = ("model-membership", "Membership inference with the model")
_RELEASE = ("release-membership", "Membership inference with the release")


def _counts(made: Sequence[AuditedSite], synthetic: Group) -> dict[str, int]:
    return {
        "train_patients": sum(each.train.n_patients for each in made),
        "train_images": sum(each.train.n_images for each in made),
        "audit_patients": sum(each.held_out.n_patients for each in made),
        "audit_images": sum(each.held_out.n_images for each in made),
        "synthetic_images": synthetic.n_images,
    }


def _limits(
    audit: AuditSection, n: dict[str, int], epsilon: float | None, small: Sequence[str]
) -> tuple[str, ...]:
    least = minimum_detectable(n["train_patients"], n["audit_patients"], audit.alpha)
    said = [
        f"With {n['train_patients']} training and {n['audit_patients']} held-out patients an attack with an "
        f"AUC below about {least:.2f} cannot be detected.",
        "Distances between images do not find every leak: a release that passes may still be attacked with "
        "better means (Yao et al. 2025).",
        "The loss attack is one attack; one with reference models can be stronger.",
        "These results depend on the patients' data and are not covered by the training's epsilon.",
        "Attacks of one site on another site's patients are not part of this audit.",
    ]
    if n["audit_patients"] < 100:
        said.append(
            f"A false positive rate of 1 % cannot be measured with {n['audit_patients']} held-out patients: "
            "the TPR is given above all of them."
        )
    if epsilon is None:
        said.append(
            "The model was trained without differential privacy: nothing but this audit speaks for it."
        )
    if small:
        said.append(f"Too few patients to judge alone, so only within all sites: {', '.join(small)}.")
    return tuple(said)


def _insufficient(id: str, title: str, reason: str, n: dict[str, int]) -> Evidence:
    return Evidence(id, title, (), (), n, "", findings=((Verdict.INSUFFICIENT, reason),))


def run_audit(
    audit: AuditSection,
    sites: Sequence[SiteData],
    synthetic: LabelledImages,
    score: Score | None,
    *,
    epsilon: float | None,
    delta: float,
    seed: int,
) -> AuditResult:
    """Audit a release and the model that made it.

    Args:
        audit: alpha, minimum_patients, tolerance, bootstrap.
        sites: all parts of every site; train and audit part are read, the test part is not.
        synthetic: the release, images (n, C, H, W) float32 in [-1, 1].
        score: score(images (n, C, H, W) float32, labels (n,)) -> (n,), higher means more likely a training
            image; None where no model is at hand, which makes the verdict REVIEW at best.
        epsilon: claim under add/remove of one patient, the largest of all sites; None without DP.
        delta: the claim.
        seed: of resampling, permutations and folds.

    Raises:
        DataError: there is no site, no synthetic image, shapes differ, or scores are not finite.
    """
    made = cohorts(sites)
    if not synthetic.images.shape[0]:
        raise DataError("The audit was given no synthetic image: run fedgen synthesize first.")
    if synthetic.images.shape[1:] != sites[0].images.shape[1:] or not torch.isfinite(synthetic.images).all():
        raise DataError(
            f"Synthetic images have shape {tuple(synthetic.images.shape[1:])} where the sites have "
            f"{tuple(sites[0].images.shape[1:])}, or are not finite: synthesize them again from this run."
        )
    release = group(synthetic.images, synthetic.labels, torch.arange(synthetic.images.shape[0]))
    n = _counts(made, release)
    usable = [each for each in made if each.train.n_images and each.held_out.n_images]
    evidence: list[Evidence]
    if not usable:
        evidence = [
            _insufficient(
                "copy-detection", "Copy detection", "No site has training and held-out patients.", n
            )
        ]
    else:
        evidence = _evidence(audit, usable, release, score, epsilon, delta, seed)
    audits = decide(evidence, audit.alpha)
    verdict, reasons = overall(audits)
    small = [each.site for each in made if len(made) > 1 and not each.judged(audit.minimum_patients)]
    return AuditResult(
        verdict=verdict,
        reasons=reasons,
        alpha=audit.alpha,
        n=n,
        epsilon=epsilon,
        delta=delta,
        audits=audits,
        limits=_limits(audit, n, epsilon, small),
        seed=seed,
    )


def _evidence(
    audit: AuditSection,
    usable: Sequence[AuditedSite],
    release: Group,
    score: Score | None,
    epsilon: float | None,
    delta: float,
    seed: int,
) -> list[Evidence]:
    cells = compare(usable, release, audit.minimum_patients, seed)
    blind, invalid = blind_baseline(usable, audit.alpha, audit.minimum_patients, audit.bootstrap, seed)
    rules = Rules(audit.alpha, audit.minimum_patients, audit.tolerance, audit.bootstrap, epsilon, delta, seed)
    calm = "Training patients do not score higher than held-out patients by more than chance."
    if score is None:
        reason = "No model was given, so membership inference with the model was not tested."
        n = {"train_patients": cells[0].train_patients, "held_out_patients": cells[0].n_held_out}
        with_model = Evidence(*_MODEL, (), (), n, "", findings=((Verdict.REVIEW, reason),))
    else:
        with_model = membership(*_MODEL, calm, loss_attack(score, usable, seed), rules, invalid=invalid)
    return [
        copy_detection(cells, usable, release, audit.alpha, seed),
        data_copying(cells, audit.alpha, audit.bootstrap, seed),
        blind,
        with_model,
        membership(*_RELEASE, calm, release_attack(usable, release), rules, invalid=invalid),
    ]
