"""Membership inference: do scores of training patients exceed those of held-out patients?

One judgement for every attacker: `model_membership` has the model, `release_membership` the release only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fedgen.evidence.audit.blind import baseline
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.study.audit_section import AuditSection
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
from fedgen_privacy.statistics.roc import OperatingPoint, Roc, at_fpr, roc

#: the false positive rate attacks are judged at (Carlini et al. 2022)
FPR = 0.01

#: the rates that the curve is given at, of the mean over a patient's images
RATES = (0.001, FPR, 0.1, 0.5)

#: what is below is not given with fewer held-out patients than one of whom is this share
LEAST = 0.001

_HOW = get_args(Aggregate)


def tpr_name(fpr: float) -> str:
    """Name of a value: the share of training patients found where this share of others is called so."""
    return f"TPR at {100 * fpr:g} % FPR"


def permitted_name(fpr: float) -> str:
    """Name of a value: the highest TPR before the verdict is FAIL."""
    return f"TPR permitted at {100 * fpr:g} % FPR"


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
        values.append(Value.of(f"AUC ({how} over a patient's images)", auc(train, held_out), *interval, few))
        curve = roc(train, held_out)
        if how == "mean":
            values += [_point(tpr_name(fpr), curve, fpr, few, rules) for fpr in RATES]
        else:
            values.append(_point(f"{tpr_name(FPR)} ({how} over a patient's images)", curve, FPR, few, rules))
    train, held_out = scores.by_patient("mean")
    values.append(
        Value.of(
            "smallest detectable AUC",
            minimum_detectable(train.size, held_out.size, rules.alpha),
            note="80 % power, before correction",
        )
    )
    return tuple(values)


def _point(name: str, curve: Roc, fpr: float, few: str | None, rules: Rules) -> Value:
    if fpr <= LEAST and curve.non_members < round(1 / fpr):
        return Value.of(
            name, None, note=f"needs {round(1 / fpr)} held-out patients, of whom one is {100 * fpr:g} %"
        )
    point = at_fpr(curve, fpr)
    limits = clopper_pearson(point.true_positives, point.members, rules.alpha)
    return Value.of(name, point.tpr, *limits, few or _limits_note(point, rules))


def _claims(rules: Rules) -> tuple[Value, ...]:
    """What would have to be exceeded, at the rates of the curve."""
    permitted = {fpr: rules.bound()(fpr) for fpr in RATES}
    if rules.epsilon is None:
        note = f"no DP: tolerance {rules.tolerance:g} times the FPR"
        return tuple(Value.of(permitted_name(fpr), tpr, note=note) for fpr, tpr in permitted.items())
    vacuous = "; the claim excludes almost no attack" if permitted[FPR] > 0.5 else ""
    note = f"of a split of fixed size, in which a patient is replaced by another: 2 epsilon{vacuous}"
    return (
        *(Value.of(permitted_name(fpr), tpr, note=note) for fpr, tpr in permitted.items()),
        Value.of(
            f"{permitted_name(FPR)}, membership by a coin",
            tpr_bound(FPR, rules.epsilon, rules.delta),
            note="for comparison: one patient added or removed, epsilon itself",
        ),
        Value.of("AUC permitted", auc_bound(*replace_one(rules.epsilon, rules.delta)), note=note),
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


def rules(options: AuditSection, model: AuditedModel, seed: int) -> Rules:
    """How the attacks of a study are judged."""
    return Rules(
        options.alpha,
        options.minimum_patients,
        options.tolerance,
        options.bootstrap,
        model.epsilon,
        model.delta,
        seed,
    )


def membership(
    id: str, title: str, about: str, sites: Sequence[Scores], rules: Rules, *, invalid: str | None
) -> Undecided:
    """One attack's audit row.

    Args:
        id: of the row.
        title: of the row.
        about: of the row.
        sites: scores of each site with training and held-out images; at least one.
        rules: how it is judged.
        invalid: why no membership result can be trusted (the blind baseline), or None.
    """
    pooled = pool(sites)
    hypotheses: list[Hypothesis] = []
    findings: list[Finding] = []
    if not pooled.judged(rules.minimum_patients):
        few = "There are too few patients to judge an attack."
        findings.append(Finding(verdict=Verdict.INSUFFICIENT, sentence=few))
    elif invalid is not None:
        findings.append(Finding(verdict=Verdict.REVIEW, sentence=f"The result is invalid: {invalid}"))
    else:
        tested = [each for each in sites if each.judged(rules.minimum_patients)] if len(sites) > 1 else []
        hypotheses = _pooled_hypotheses(pooled, rules)
        hypotheses += [_above_chance(each, rules) for each in [pooled, *tested]]
    row = Row(
        id=id,
        title=title,
        group="audit",
        about=about,
        values=(*_values(pooled, rules), *_claims(rules)),
        per_site=tuple(SitePart(site=each.site, values=_values(each, rules)) for each in sites),
        n={
            "train_patients": int(np.unique(pooled.train_patients).size),
            "held_out_patients": int(np.unique(pooled.held_out_patients).size),
        },
        findings=tuple(findings),
    )
    calm = "Training patients do not score higher than held-out patients by more than chance."
    return Undecided(row, calm, tuple(hypotheses))


def why_invalid(real: Real, options: AuditSection, seed: int) -> str | None:
    """Why no membership result of these patients can be trusted, by the blind baseline; None where they can."""
    return baseline(real, options, seed)[1]
