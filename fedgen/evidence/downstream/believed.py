"""Whether the judges can be believed, and whether a score on synthetic images is one of the picture.

The rules are fixed in advance. A judge that cannot learn the real task says nothing of synthetic images, and one that
learns no more than which site an image is from says nothing of what the image shows. Nor does an arm that no more
than reaches what labels that say nothing gave by luck: where classes lie far apart, or patients are few, that is much.
"""

from __future__ import annotations

from fedgen.evidence.downstream.arms import SHUFFLED, SITE_ALONE
from fedgen.evidence.downstream.cells import Score
from fedgen.evidence.downstream.downstream import Downstream
from fedgen.run.row import Finding, Verdict

CHANCE = 0.5
#: A judge is blind where the other's AUROC on real patients is higher by this at least, and surely so.
BLIND = 0.05
#: metric -> judge
JUDGES = {"auroc": "network", "simple": "simple judge"}

UNDEFINED = "The judges have no score on real patients, so nothing can be said of the synthetic images."
NO_EVIDENCE = "what it says of the other arms is no evidence."
SEES = "Trained on real patients, both judges learn the task."


def real_task(found: Downstream) -> tuple[Finding, ...]:
    """The finding of the arm TRTR: INSUFFICIENT where the network does not learn the real task.

    It has not learnt it where the lower limit of its AUROC is not above chance, where its AUROC is not above the luck
    of shuffled labels, where the lower limit of its lead over the site alone is not above zero, or where the simple
    judge is surely ahead of it by `BLIND`. That the simple judge does not learn it is for a REVIEW: the network's
    score stands.
    """
    if _score(found, "TRTR", "auroc") is None:
        return (Finding(verdict=Verdict.INSUFFICIENT, sentence=UNDEFINED),)
    said = []
    for metric, verdict in (("auroc", Verdict.INSUFFICIENT), ("simple", Verdict.REVIEW)):
        reason = _trivial(found, "TRTR", metric)
        if reason is not None:
            sentence = f"Trained on real patients, the {JUDGES[metric]} {reason}: {NO_EVIDENCE}"
            said.append(Finding(verdict=verdict, sentence=sentence))
    ahead = found.ahead
    if ahead is not None and ahead.value >= BLIND and ahead.low > 0:
        sentence = f"The network is blind to what the simple judge sees on real patients: {NO_EVIDENCE}"
        said.append(Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence))
    if ahead is not None and ahead.value <= -BLIND and ahead.high < 0:
        sentence = "The simple judge is blind to some of what the network sees on real patients."
        said.append(Finding(verdict=Verdict.REVIEW, sentence=sentence))
    return tuple(said) or (Finding(verdict=Verdict.PASS, sentence=SEES),)


def synthetic_worth(found: Downstream) -> tuple[Finding, ...]:
    """The finding of the arm TSTR: REVIEW where what it teaches is chance, luck or the site, by the network."""
    if any(each.verdict is Verdict.INSUFFICIENT for each in real_task(found)):
        sentence = (
            "The judge does not learn the real task, so it cannot say what the synthetic images are worth."
        )
        return (Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence),)
    if _score(found, "TSTR", "auroc") is None:
        sentence = "There is no classifier of the synthetic images."
        return (Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence),)
    reason = _trivial(found, "TSTR", "auroc")
    if reason is None:
        return (
            Finding(
                verdict=Verdict.PASS, sentence="Trained on synthetic images, the network beats its controls."
            ),
        )
    so = ": it measures the site, not the picture" if "site" in reason else ""
    return (
        Finding(verdict=Verdict.REVIEW, sentence=f"Trained on synthetic images, the network {reason}{so}."),
    )


def _trivial(found: Downstream, arm: str, metric: str) -> str | None:
    """Why an arm's score may be had without looking at an image; None where it is surely better."""
    score = _score(found, arm, metric)
    if score is None:
        return "has no score"
    if score.low <= CHANCE:
        return "is not surely better than chance"
    lead = next(
        (d for d in found.differences if (d.arm, d.against, d.metric) == (arm, SITE_ALONE, metric)), None
    )
    if lead is not None and lead.low is not None and lead.low <= 0:
        return "is not surely better than knowing an image's site alone"
    # By the simple judge, which learns from many shuffles.
    luck = next(
        (_score(found, control, "simple") for control, beside in SHUFFLED.items() if beside == arm), None
    )
    if luck is not None and score.value <= luck.high:
        return "is not better than what shuffled labels give by luck"
    return None


def _score(found: Downstream, arm: str, metric: str) -> Score | None:
    return next((each.pooled.scores[metric] for each in found.arms if each.arm == arm), None)
