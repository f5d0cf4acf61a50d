"""Whether segmentation networks can be believed, and whether synthetic pairs teach more than where a mask mostly lies.

The rules are fixed in advance, and look at Dice: an arm beats a control where the lower limit of their paired
difference over the patients is above zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedgen.evidence.downstream.cells import Score
from fedgen.evidence.downstream.over_cases import too_few
from fedgen.evidence.downstream.segmentation_arms import SITE_ALONE
from fedgen.run.row import Finding, Verdict

#: (arm, against) -> how much higher its Dice is; None where it has none.
Leads = Mapping[tuple[str, str], Score | None]

#: Why nothing is said of an arm's worth where the real one does not learn.
BLIND = "The network does not learn the real task, so it cannot say what the synthetic pairs are worth."


def real_task(leads: Leads, patients: int) -> tuple[Finding, ...]:
    """The finding of TRTR: INSUFFICIENT where its Dice is not surely above that of the controls beside it."""
    reason = _not_above(leads, "TRTR", ("TRTR-shuffled", SITE_ALONE), patients)
    if reason is not None:
        sentence = (
            f"Trained on real patients, the network {reason}: what it says of the other arms is no evidence."
        )
        return (Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence),)
    return (Finding(verdict=Verdict.PASS, sentence="Trained on real patients, the network learns the task."),)


def synthetic_worth(leads: Leads, patients: int) -> tuple[Finding, ...]:
    """The finding of TSTR: REVIEW where its Dice is not surely above that of the controls beside it."""
    if real_task(leads, patients)[0].verdict is not Verdict.PASS:
        return (Finding(verdict=Verdict.INSUFFICIENT, sentence=BLIND),)
    reason = _not_above(leads, "TSTR", ("TSTR-shuffled", SITE_ALONE), patients)
    if reason is not None:
        sentence = f"Trained on synthetic pairs, the network {reason}."
        return (Finding(verdict=Verdict.REVIEW, sentence=sentence),)
    sentence = "Trained on synthetic pairs, the network finds more of the mask than its controls."
    return (Finding(verdict=Verdict.PASS, sentence=sentence),)


#: A control -> what an arm that is no better than it does.
_NO_BETTER = {
    "TRTR-shuffled": "is not surely better than with the masks of other patients",
    "TSTR-shuffled": "is not surely better than with the masks of other images",
    SITE_ALONE: "is not surely better than the usual mask of the site, without an image",
}


def _not_above(leads: Leads, arm: str, controls: Sequence[str], patients: int) -> str | None:
    for control in controls:
        lead = leads.get((arm, control))
        if lead is None:
            few = too_few(patients)
            return "has no score" if few is None else f"has no score ({few.rstrip('.').lower()})"
        if lead.low <= 0:
            return _NO_BETTER[control]
    return None
