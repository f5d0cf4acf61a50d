"""What each site has said of the release, as soon as it has said it: a pure function of the journal and the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fedgen.dashboard.page_state import EvidenceCell, EvidenceLine, EvidenceOfSites, SiteEvidence
from fedgen.run.events import Assessed, Event, NotAssessed, QuestionAsked
from fedgen.run.evidence_files import SiteAnswer
from fedgen.run.row import SEVERITY, WITHHELD, Row, Verdict, worst


def site_evidence(
    events: Sequence[Event], answers: Mapping[str, SiteAnswer], *, noised: bool
) -> tuple[SiteEvidence, ...]:
    """A line for each site that was asked in the newest question, by name; empty where none was asked.

    Args:
        events: of the run.
        answers: what each site sent, to whatever question.
        noised: whether a site's answer is one noised sum, whose numbers say nothing alone.
    """
    places = [place for place, event in enumerate(events) if isinstance(event, QuestionAsked)]
    if not places:
        return ()
    question = events[places[-1]]
    assert isinstance(question, QuestionAsked)
    came, why = set(question.kept), dict[str, str]()
    for event in events[places[-1] :]:
        if isinstance(event, Assessed):
            came.add(event.site)
        elif isinstance(event, NotAssessed):
            why[event.site] = event.reason
    return tuple(
        _line(site, site in came, why.get(site), _answer(answers, site, question.question), noised)
        for site in sorted(question.sites)
    )


def _answer(answers: Mapping[str, SiteAnswer], site: str, question: str) -> SiteAnswer | None:
    found = answers.get(site)
    # What it said of an earlier release is not of this one.
    return found if found is not None and found.question == question else None


def _line(site: str, came: bool, why: str | None, answer: SiteAnswer | None, noised: bool) -> SiteEvidence:
    if not came or answer is None:
        return SiteEvidence(site=site, standing="awaited" if why is None else "none", why=why)
    withheld = tuple(name for name in ("audit", "evaluation") if getattr(answer, name) is None)
    if noised or answer.audit is None:
        return SiteEvidence(site=site, standing="answered", withheld=withheld)
    judged = [row for row in answer.audit.rows if row.verdict is not None]
    counted = Counter(row.verdict for row in judged)
    verdict = worst(*(row.verdict for row in judged if row.verdict is not None))
    reason = next((f"{row.title}: {row.reason}" for row in judged if row.verdict is verdict), None)
    return SiteEvidence(
        site=site,
        standing="answered",
        verdict=verdict,
        reason=None if verdict is Verdict.PASS else reason,
        judged={each: counted[each] for each in SEVERITY if counted[each]},
        withheld=withheld,
    )


def rows_so_far(lines: Sequence[SiteEvidence], answers: Mapping[str, SiteAnswer]) -> EvidenceOfSites:
    """Every row that a site has sent, with a cell for each site that has sent anything.

    Args:
        lines: of the sites, as `site_evidence` has them.
        answers: what each site sent.
    """
    sites = tuple(line.site for line in lines if line.standing == "answered")
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for site in sites:
        answer = answers[site]
        for part in (answer.audit, answer.evaluation):
            for row in () if part is None else part.rows:
                if row.values or row.findings or row.note == WITHHELD:
                    found.setdefault((row.group, row.id), {})[site] = row
    return EvidenceOfSites(sites=sites, rows=tuple(_row(sites, by_site) for by_site in found.values()))


def _row(sites: Sequence[str], by_site: Mapping[str, Row]) -> EvidenceLine:
    first = next(iter(by_site.values()))
    value = next((row.values[0].name for row in by_site.values() if row.values), None)
    return EvidenceLine(
        group=first.group,
        title=first.title,
        value=value,
        cells=tuple(_cell(by_site.get(site)) for site in sites),
    )


def _cell(row: Row | None) -> EvidenceCell:
    if row is None:
        return EvidenceCell()
    value = row.values[0] if row.values else None
    return EvidenceCell(
        verdict=row.verdict,
        value=None if value is None else value.value,
        low=None if value is None else value.low,
        high=None if value is None else value.high,
        withheld=row.note == WITHHELD,
    )
