"""What remains after all measures: for each risk what bounds it in this study, and what does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedgen.planning.dpia.blanks import blank
from fedgen.planning.dpia.figures import PlannedFigures
from fedgen.study.study import Study
from fedgen_privacy.statistics.dp_bounds import right_guesses, tpr_bound

#: From here on an attack that wrongly names 1 of 100 may find so many: hardly a bound.
_WEAK = 0.5
UNBOUNDED = "NOT BOUNDED"


@dataclass(frozen=True)
class RemainingRisk:
    """A risk, what bounds it, and what stays."""

    risk: str
    bounded_by: str
    remains: str


def weak(study: Study) -> bool:
    """Whether the study's epsilon excludes almost no attack."""
    privacy = study.privacy
    return privacy.private and tpr_bound(0.01, privacy.epsilon, privacy.delta) > _WEAK


def risks(figures: PlannedFigures) -> list[RemainingRisk]:
    """Every risk, in the order of who is concerned."""
    study = figures.study
    return [
        RemainingRisk(
            "Somebody finds out from model or release that a patient took part",
            _membership(study),
            _covered(figures),
        ),
        RemainingRisk(
            "The release shows a patient, or nearly (reconstruction, memorisation)",
            "the same bound" if study.privacy.private else f"{UNBOUNDED}: only the audits look for it",
            "a PASS of the audits is the absence of a finding and no proof; stronger attacks may exist",
        ),
        RemainingRisk("The coordinator looks at one site's update", _update(study), _trust(study)),
        RemainingRisk(
            "Audit and evaluation tell something of a patient",
            (
                f"noise: epsilon {study.evidence.privacy.epsilon:g} of the study's pays for it"
                if study.evidence.privacy is not None
                else f"{UNBOUNDED} by any epsilon: numbers over all patients leave without noise"
            ),
            "the site can withhold them (policy.metrics), and then there is no verdict and no release",
        ),
        RemainingRisk(
            "Something is learned that is true of the whole group (such as a rare disease at one hospital)",
            f"{UNBOUNDED}: no such method hides what all patients of a site have in common",
            blank("whether that can harm a group, and the number of patients of each class"),
        ),
        RemainingRisk(
            "A patient is treated at two hospitals",
            "the sum of both hospitals' epsilons" if study.privacy.private else UNBOUNDED,
            "nobody can count such patients, since identities never meet",
        ),
        RemainingRisk(
            "Whoever administers the hospital's machine reads images or keys",
            "not by this software",
            blank("measures of the hospital"),
        ),
        RemainingRisk(
            "Synthetic images are taken for real ones, or used for diagnosis",
            "datasheet and metadata say what they are",
            blank("terms of use, and who checks"),
        ),
        RemainingRisk(
            "The software does not do what it says",
            "`fedgen privacy selftest --faults`, a tested set of libraries, open source",
            blank("version installed, who ran the self-test and when"),
        ),
    ]


def _membership(study: Study) -> str:
    privacy = study.privacy
    if not privacy.private:
        return f"{UNBOUNDED}: there is no differential privacy"
    right = right_guesses(privacy.epsilon, privacy.delta)
    found = tpr_bound(0.01, privacy.epsilon, privacy.delta)
    text = (
        f"whoever guesses, where a coin is right half of the time, is right in {_up(right)} of the cases; who may "
        f"wrongly name 1 of 100 finds {_up(found)} of those who took part"
    )
    return f"{text}. THAT EXCLUDES ALMOST NO ATTACK" if weak(study) else text


def _covered(figures: PlannedFigures) -> str:
    if not figures.limits:
        return "everything"
    return " ".join(figures.limits)


def _update(study: Study) -> str:
    if study.aggregation.secure:
        return "secure aggregation" + (" and the noise in it" if study.privacy.mode == "local" else "")
    if study.privacy.mode == "local":
        return "the noise alone: secure aggregation is OFF"
    return f"{UNBOUNDED}: secure aggregation is OFF and the update has no noise of its own"


def _trust(study: Study) -> str:
    text = (
        "it decides who is in the federation and could invent sites: compare the fingerprints of the roster by "
        "telephone before approving"
    )
    if study.privacy.mode == "distributed":
        text += (
            "; the promise holds only against a coordinator that follows the protocol, and only while the other sites "
            "add their part of the noise, which nobody can check"
        )
    if not study.privacy.private:
        text += (
            "; it chooses the model that a site trains, which can be made to draw images out of the update"
        )
    return text


def _up(share: float) -> str:
    """A bound in percent, rounded up: it is never printed smaller than it is."""
    tenths = math.ceil(round(share * 1000, 6)) / 10
    return "up to all" if tenths >= 100 else f"at most {tenths:g} %"
