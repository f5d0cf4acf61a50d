"""audit.json and evaluation.json: joined from the assessments of single sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedgen.evidence.join import by_text, join, joined_limits, summed
from fedgen.evidence.metrics.joined_distance import together
from fedgen.evidence.registry import AUDITS, measures
from fedgen.evidence.verdict import overall
from fedgen.run.evidence_files import (
    Absent,
    Audited,
    AuditFile,
    AuditNumbers,
    Claim,
    Evaluated,
    EvaluationFile,
    EvaluationNumbers,
    SiteVerdict,
)
from fedgen.run.row import SEVERITY, Row, Verdict, worst
from fedgen.study.study import Study

AUDITED = (
    "The sites audited the model and the synthetic images, each against its own patients on its own machine. Only "
    "these numbers left them, as far as each site's policy allows; the training's epsilon does not cover them."
)
EVALUATED = (
    "The sites evaluated the synthetic images, each against its own patients on its own machine. Only these numbers "
    "left them, as far as each site's policy allows; the training's epsilon does not cover them."
)
ON_ONE_MACHINE = (
    "The sites of this simulation {verb}, each against its own patients, as they would in a federation. Rows of all "
    "patients together, which no federation has, stand beside theirs; the training's epsilon covers none of them."
)
PAID = (
    "The sites {verb}, each on its own patients. Only noised sums left them, whose cost is part of the study's "
    "epsilon. What is said of all patients together is made of the sites' sums, added up."
)
POOLING_PAID = (
    "Rows of a site are of its own noised sum; those of all patients together of the sums of all sites."
)
POOLING = (
    "Mean over the sites, weighted by their test patients, of scores that each site found on its own patients; its "
    "interval is made of the sites' own, which are independent (Zou and Donner 2008). It is not the score of all "
    "patients together."
)
CALM = "No audit of any site found that the release or the model gives a training patient away."
LIMITS = (
    "At each site TRTR and the arms with real images are trained on that site's own training patients alone: a "
    "federated or pooled classifier may do better.",
    "Fidelity compares the whole synthetic set with one site's patients, so it also shows how far that site is from "
    "the others.",
)


def joined_audit(
    study: Study,
    audits: Mapping[str, AuditNumbers],
    absent: Mapping[str, str],
    pooled: Audited | None = None,
) -> AuditFile:
    """audit.json.

    The verdict is the most severe of the sites', and of all patients together where that is known. A site whose
    patients are in the model and that sent no audit makes it INSUFFICIENT at best: nothing is known of its patients,
    and nothing that is unknown passes. Patients of a site that is too small to be judged alone are judged with all
    others where all are together: there, and only there, its own INSUFFICIENT does not count.

    Args:
        study: the resolved study.
        audits: site to its numbers.
        absent: sites in the model without an audit, with the reason.
        pooled: of all patients together, which a simulation has, and a federation whose sums are paid for.
    """
    found = {site: audits[site] for site in sorted(audits)}
    verdicts = {site: overall(each.rows) for site, each in found.items()}
    unknown = [Verdict.INSUFFICIENT] * bool(absent or not found)
    everything = [*found.values(), *([pooled] if pooled else [])]
    claims = [each.claim.epsilon for each in everything if each.claim.epsilon is not None]
    claim = Claim(epsilon=max(claims, default=None), delta=study.privacy.delta)
    rows = join({site: each.rows for site, each in found.items()})
    anew = _judged_anew(study, rows, claim)
    weighed = _Weighed(found, absent, pooled, anew)
    judged = [row for each in found.values() for row in each.rows if weighed.counts(row)] + list(
        anew.values()
    )
    together = overall(pooled.rows if pooled else ())
    limits = joined_limits({site: each.limits for site, each in found.items()})
    return AuditFile(
        verdict=worst(
            together[0], *(verdict for row in judged if (verdict := row.verdict) is not None), *unknown
        ),
        reasons=weighed.reasons(),
        alpha=study.audit.alpha,
        n=summed([each.n for each in found.values()]),
        claim=claim,
        where=_where(study, "audited the model and the synthetic images", AUDITED, pooled is not None),
        sites=tuple(
            SiteVerdict(site=site, verdict=verdicts[site][0], reasons=verdicts[site][1], n=each.n, claim=each.claim)
            for site, each in found.items()
        ),
        absent=_absent(absent),
        rows=tuple(anew.get(row.id, row) for row in rows),
        pooled=pooled.rows if pooled else (),
        limits=_once(pooled.limits if pooled else (), limits, _limits(study, len(found))),
        seed=study.study.seed,
    )  # fmt: skip


def joined_evaluation(
    study: Study,
    evaluations: Mapping[str, EvaluationNumbers],
    absent: Mapping[str, str],
    pooled: Evaluated | None = None,
) -> EvaluationFile:
    """evaluation.json.

    Args:
        study: the resolved study.
        evaluations: site to its numbers.
        absent: sites in the model without an evaluation, with the reason.
        pooled: of all patients together, which a simulation has and a federation cannot.
    """
    found = {site: evaluations[site] for site in sorted(evaluations)}
    limits = joined_limits({site: each.limits for site, each in found.items()})
    return EvaluationFile(
        n=summed([each.n for each in found.values()]),
        where=_where(study, "evaluated the synthetic images", EVALUATED, pooled is not None),
        pooling=POOLING if study.evidence.privacy is None else POOLING_PAID,
        absent=_absent(absent),
        rows=tuple(map(together, join({site: each.rows for site, each in found.items()}))),
        pooled=tuple(map(together, pooled.rows)) if pooled else (),
        limits=_once(
            pooled.limits if pooled else (),
            limits,
            LIMITS if found and study.evidence.privacy is None else (),
        ),
        seed=study.study.seed,
    )


def _judged_anew(study: Study, rows: Sequence[Row], claim: Claim) -> dict[str, Row]:
    """By id, the joined rows whose measure judges all sites' numbers together."""
    known = {kind.id: kind(study.audit) for kind in measures(*AUDITS)}
    found = {row.id: known[row.id].over_sites(row, claim) for row in rows if row.id in known}
    return {id: row for id, row in found.items() if row is not None}


def _where(study: Study, verb: str, of_a_federation: str, together: bool) -> str:
    if study.evidence.privacy is not None:
        return PAID.format(verb=verb)
    return ON_ONE_MACHINE.format(verb=verb) if together else of_a_federation


def _once(*limits: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(limit for each in limits for limit in each))


def _absent(absent: Mapping[str, str]) -> tuple[Absent, ...]:
    return tuple(Absent(site=site, reason=absent[site]) for site in sorted(absent))


@dataclass(frozen=True)
class _Weighed:
    """What each judged, and whose word counts."""

    audits: Mapping[str, AuditNumbers]
    absent: Mapping[str, str]
    pooled: Audited | None
    anew: Mapping[str, Row]

    def counts(self, row: Row) -> bool:
        """Whether a site's own verdict counts: being too small alone does not, where all are judged together."""
        return row.verdict is not Verdict.INSUFFICIENT or (self.pooled is None and row.id not in self.anew)

    def reasons(self) -> tuple[str, ...]:
        """One sentence for each that did not pass, the worst first."""
        said: dict[tuple[Verdict, str], dict[str, str]] = {}
        for site, each in self.audits.items():
            for row in each.rows:
                if row.verdict is not None and row.reason is not None and self.counts(row):
                    said.setdefault((row.verdict, row.title), {})[site] = row.reason
        raised = [
            (verdict, f"{title} at {', '.join(sites)}: {text}")
            for (verdict, title), texts in said.items()
            if verdict is not Verdict.PASS
            for text, sites in by_text(texts).items()
        ]
        raised += [
            (Verdict.INSUFFICIENT, f"{site} is in the model and sent no audit ({why}).")
            for site, why in sorted(self.absent.items())
        ]
        together = [(row, "all patients together") for row in (self.pooled.rows if self.pooled else ())]
        together += [(row, "all sites together") for row in self.anew.values()]
        raised += [
            (row.verdict, f"{row.title}, {who}: {row.reason}")
            for row, who in together
            if row.verdict is not None and row.verdict is not Verdict.PASS
        ]
        raised.sort(key=lambda each: SEVERITY.index(each[0]))
        if not self.audits:
            raised.append((Verdict.INSUFFICIENT, "No site sent an audit."))
        return tuple(text for _, text in raised) or (CALM,)


def _limits(study: Study, n_sites: int) -> list[str]:
    said = []
    if n_sites > 1 and study.evidence.privacy is None:
        chance = min(1.0, n_sites * study.audit.alpha)
        said.append(
            f"Each site corrected its tests for their number (family-wise error {study.audit.alpha:g}); over "
            f"{n_sites} sites, a harmless release fails to pass by chance with a probability of up to {chance:.0%}."
        )
    if n_sites:
        said.append(
            "The numbers of a site are as the site sent them: nobody else can check them without its patients."
        )
    return said
