"""The gate: from what all audits found to a verdict for each, and one for all, with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedgen.run.row import SEVERITY, Finding, Row, Verdict, worst
from fedgen_privacy.statistics.multiplicity import holm

CALM = "No audit found that the release or the model gives a training patient away."
#: Where no model was asked.
CALM_OF_IMAGES = "No audit found that the images give a training patient away. No model was asked."


@dataclass(frozen=True)
class Hypothesis:
    """One test the gate corrects together with all others.

    Attributes:
        p: p-value of the harmless state.
        consequence: verdict if it is rejected.
        sentence: what is then true.
    """

    p: float
    consequence: Verdict
    sentence: str


@dataclass(frozen=True)
class Undecided:
    """What one audit found, before the gate decides.

    Attributes:
        row: its numbers, and the findings that need no test.
        calm: the sentence of a PASS.
        hypotheses: tests; Holm's correction over those of all audits decides.
    """

    row: Row
    calm: str
    hypotheses: tuple[Hypothesis, ...] = ()


def decide(found: Iterable[Row | Undecided], alpha: float) -> tuple[Row, ...]:
    """The rows; one that was tested has the most severe verdict with its reason.

    Holm's correction runs over the hypotheses of ALL audits and sites, so that a harmless generator is called
    anything but PASS by one of these tests with probability at most alpha. Findings are added as they are.

    Args:
        found: what the audits say, in the order of the report.
        alpha: family-wise error.
    """
    entries = list(found)
    adjusted = iter(holm([h.p for each in entries if isinstance(each, Undecided) for h in each.hypotheses]))
    rows = []
    for each in entries:
        if isinstance(each, Row):
            rows.append(each)
            continue
        said = list(each.row.findings)
        for hypothesis in each.hypotheses:
            p = next(adjusted)
            if p <= alpha:
                sentence = f"{hypothesis.sentence} (corrected p = {p:.2g})."
                said.append(Finding(verdict=hypothesis.consequence, sentence=sentence))
        verdict = worst(*(finding.verdict for finding in said))
        calm = Finding(verdict=Verdict.PASS, sentence=each.calm)
        reason = next((finding for finding in said if finding.verdict is verdict), calm)
        rows.append(each.row.model_copy(update={"findings": (reason,)}))
    return tuple(rows)


def overall(rows: Sequence[Row], calm: str = CALM) -> tuple[Verdict, tuple[str, ...]]:
    """The worst verdict, and the reason of every audit that did not pass (the worst first), or else `calm`."""
    judged = [(row, row.verdict) for row in rows if row.verdict is not None]
    verdict = worst(*(each for _, each in judged))
    if verdict is Verdict.PASS:
        return verdict, (calm,)
    raised = [(row, each) for row, each in judged if each is not Verdict.PASS]
    raised.sort(key=lambda pair: SEVERITY.index(pair[1]))
    return verdict, tuple(f"{row.title}: {row.reason}" for row, _ in raised)
