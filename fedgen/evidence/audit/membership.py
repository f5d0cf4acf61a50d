"""Membership inference: do scores of training patients exceed those of held-out patients?

One evaluation for two attackers: one who has the model (the loss attack, `run_audit`'s `score`) and one who
has the release only (minus the distance to the nearest synthetic image; GAN-Leaks, Chen et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fedgen.evidence.audit.result import Evidence, Hypothesis, SiteValues, Value, Verdict
from fedgen_privacy.statistics.auc import (
    above_chance,
    above_value,
    auc,
    bootstrap_interval,
    minimum_detectable,
)
from fedgen_privacy.statistics.dp_bounds import auc_bound, replace_one, tpr_bound
from fedgen_privacy.statistics.multiplicity import worse_of
from fedgen_privacy.statistics.patients import Aggregate, per_patient
from fedgen_privacy.statistics.proportions import bound_exceeded, clopper_pearson
from fedgen_privacy.statistics.roc import OperatingPoint, at_fpr, roc

#: the false positive rate attacks are judged at (Carlini et al. 2022)
FPR = 0.01

_HOW = get_args(Aggregate)


@dataclass(frozen=True)
class Scores:
    """Image scores of one site, or pooled; higher means more likely a member.

    Attributes:
        site: the name.
        train: (n,) scores of training images.
        train_patients: (n,) their patients.
        held_out: (h,) scores of held-out images.
        held_out_patients: (h,) their patients.
    """

    site: str
    train: NDArray[np.float64]
    train_patients: NDArray[np.int64]
    held_out: NDArray[np.float64]
    held_out_patients: NDArray[np.int64]

    def by_patient(self, how: Aggregate) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores of the training and of the held-out patients."""
        return (
            per_patient(self.train, self.train_patients, how),
            per_patient(self.held_out, self.held_out_patients, how),
        )

    def judged(self, minimum_patients: int) -> bool:
        """Whether both sides have enough patients for a test."""
        sides = (self.train_patients, self.held_out_patients)
        return min(np.unique(side).size for side in sides) >= minimum_patients


@dataclass(frozen=True)
class Rules:
    """How attacks are judged.

    Attributes:
        alpha: 1 - confidence.
        minimum_patients: fewer on a side are not judged.
        tolerance: without DP, multiple of the FPR that the TPR may reach.
        bootstrap: replicates of patients.
        epsilon: claim under add/remove of a patient; None without DP.
        delta: the claim.
        seed: of the bootstrap.
    """

    alpha: float
    minimum_patients: int
    tolerance: float
    bootstrap: int
    epsilon: float | None
    delta: float
    seed: int

    def bound(self) -> Callable[[float], float]:
        """Highest TPR at an FPR before the verdict is FAIL.

        The split is a game of fixed size, hence the claim's replace-one form (see `dp_bounds`).
        """
        if self.epsilon is None:
            return lambda fpr: min(1.0, self.tolerance * fpr)
        epsilon, delta = replace_one(self.epsilon, self.delta)
        return lambda fpr: tpr_bound(fpr, epsilon, delta)


def pool(scores: Sequence[Scores]) -> Scores:
    """All sites as one; patient numbers must be unique over the sites."""
    return Scores(
        "all sites" if len(scores) > 1 else scores[0].site,
        np.concatenate([each.train for each in scores]),
        np.concatenate([each.train_patients for each in scores]),
        np.concatenate([each.held_out for each in scores]),
        np.concatenate([each.held_out_patients for each in scores]),
    )


def _limits_note(point: OperatingPoint, rules: Rules) -> str:
    _, upper = clopper_pearson(point.allowed, point.non_members, rules.alpha)
    return (
        f"{point.false_positives} of {point.non_members} held-out patients above the threshold, so its true "
        f"FPR is known only to lie below {upper:.1%}"
    )


def _values(scores: Scores, rules: Rules) -> tuple[Value, ...]:
    values = []
    few = None if scores.judged(rules.minimum_patients) else "too few patients for a test"
    for how in _HOW:
        train, held_out = scores.by_patient(how)
        rng = np.random.default_rng(rules.seed)
        interval = bootstrap_interval(train, held_out, rules.alpha, rules.bootstrap, rng)
        values.append(Value(f"AUC ({how} over a patient's images)", auc(train, held_out), *interval, few))
        point = at_fpr(roc(train, held_out), FPR)
        limits = clopper_pearson(point.true_positives, point.members, rules.alpha)
        values.append(
            Value(f"TPR at {FPR:.0%} FPR ({how})", point.tpr, *limits, few or _limits_note(point, rules))
        )
    train, held_out = scores.by_patient("mean")
    values.append(
        Value(
            "smallest detectable AUC",
            minimum_detectable(train.size, held_out.size, rules.alpha),
            note="80 % power, before correction",
        )
    )
    return tuple(values)


def _claims(rules: Rules) -> tuple[Value, ...]:
    if rules.epsilon is None:
        note = f"no DP: tolerance {rules.tolerance:g} times the FPR"
        return (Value(f"TPR permitted at {FPR:.0%} FPR", rules.bound()(FPR), note=note),)
    epsilon, delta = replace_one(rules.epsilon, rules.delta)
    coin = tpr_bound(FPR, rules.epsilon, rules.delta)
    permitted = tpr_bound(FPR, epsilon, delta)
    vacuous = "; the claim excludes almost no attack" if permitted > 0.5 else ""
    return (
        Value(
            f"TPR the claim permits at {FPR:.0%} FPR (split of fixed size, 2 epsilon)",
            permitted,
            note=f"this one decides: a held-out patient was replaced by another{vacuous}",
        ),
        Value(
            f"TPR the claim permits at {FPR:.0%} FPR (membership by a coin, epsilon)",
            coin,
            note="for comparison: add/remove of one patient",
        ),
        Value("AUC the claim permits (split of fixed size, 2 epsilon)", auc_bound(epsilon, delta)),
    )


def _pooled_hypotheses(scores: Scores, rules: Rules) -> list[Hypothesis]:
    sides = [scores.by_patient(how) for how in _HOW]
    points = [at_fpr(roc(*side), FPR) for side in sides]
    beyond = worse_of(
        *(
            bound_exceeded(p.true_positives, p.members, p.allowed, p.non_members, rules.bound())
            for p in points
        )
    )
    limit = "the tolerance permits" if rules.epsilon is None else f"epsilon {rules.epsilon:g} permits"
    found = [
        Hypothesis(
            beyond,
            Verdict.FAIL,
            f"The attack finds {max(p.tpr for p in points):.0%} of the training patients at {FPR:.0%} FPR, "
            f"more than {limit}",
        )
    ]
    if rules.epsilon is not None:
        permitted = auc_bound(*replace_one(rules.epsilon, rules.delta))
        found.append(
            Hypothesis(
                worse_of(*(above_value(*side, permitted) for side in sides)),
                Verdict.FAIL,
                f"The attack's AUC of {max(auc(*side) for side in sides):.2f} is more than the "
                f"{permitted:.2f} that epsilon {rules.epsilon:g} permits",
            )
        )
    return found


def _above_chance(scores: Scores, rules: Rules) -> Hypothesis:
    sides = [scores.by_patient(how) for how in _HOW]
    claim = "" if rules.epsilon is None else ", within the claimed epsilon"
    return Hypothesis(
        worse_of(*(above_chance(*side) for side in sides)),
        Verdict.REVIEW,
        f"Training patients of {scores.site} score higher than held-out patients (AUC "
        f"{max(auc(*side) for side in sides):.2f}){claim}",
    )


def membership(
    id: str, title: str, calm: str, sites: Sequence[Scores], rules: Rules, *, invalid: str | None
) -> Evidence:
    """One attack's audit row.

    Args:
        id: of the row.
        title: of the row.
        calm: the sentence of a PASS.
        sites: scores of each site with training and held-out images; at least one.
        rules: how it is judged.
        invalid: why no membership result can be trusted (the blind baseline), or None.
    """
    pooled = pool(sites)
    hypotheses: list[Hypothesis] = []
    findings: list[tuple[Verdict, str]] = []
    if not pooled.judged(rules.minimum_patients):
        findings.append((Verdict.INSUFFICIENT, "There are too few patients to judge an attack."))
    elif invalid is not None:
        findings.append((Verdict.REVIEW, f"The result is invalid: {invalid}"))
    else:
        tested = [each for each in sites if each.judged(rules.minimum_patients)] if len(sites) > 1 else []
        hypotheses = _pooled_hypotheses(pooled, rules)
        hypotheses += [_above_chance(each, rules) for each in [pooled, *tested]]
    return Evidence(
        id=id,
        title=title,
        values=(*_values(pooled, rules), *_claims(rules)),
        per_site=tuple(SiteValues(each.site, _values(each, rules)) for each in sites),
        n={
            "train_patients": int(np.unique(pooled.train_patients).size),
            "held_out_patients": int(np.unique(pooled.held_out_patients).size),
        },
        calm=calm,
        hypotheses=tuple(hypotheses),
        findings=tuple(findings),
    )
