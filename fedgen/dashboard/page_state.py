"""What a page shows of a run: plain typed numbers and words, which templates, streams and metrics are made from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.dashboard.words import Tone
from fedgen.run.row import Row, Verdict
from fedgen.schema.section import Section

#: How a run stands. `killed`: run.json says that it runs, and no process does; `starting`: a process is about to go on.
Standing = Literal["offered", "starting", "running", "done", "failed", "interrupted", "killed"]


class Sighting(Section):
    """What is known of a site beside its answers.

    Attributes:
        connected: whether it is now.
        last_seen: ISO 8601, UTC; None for never.
        clock: seconds by which its clock is ahead of the coordinator's; None where it did not say.
        fedgen: its version; None where it did not say.
        said: when it said the two, ISO 8601, UTC.
    """

    connected: bool
    last_seen: str | None = None
    clock: float | None = None
    fedgen: str | None = None
    said: str | None = None


class SiteLine(Section):
    """One site.

    Attributes:
        site: name.
        seen: None where nobody knows, as in a simulation.
        part: `in` or `out` of the last finished round's sum, `left_out` of the run, `waiting` where no round is over.
        why: it is not in.
        answering: whether it has been asked in the phase that goes on and has not answered.
        rounds: in whose sum it is.
        patients: in training, as it stated; None where it did not yet.
        epsilon: of the whole study at this site, as it stated.
        seconds: it takes for its update, the median of its last rounds.
        to_site, from_site: bytes of models and updates so far.
        slowest: whether the others wait for it.
    """

    site: str
    seen: Sighting | None = None
    part: Literal["in", "out", "left_out", "waiting"] = "waiting"
    why: str | None = None
    answering: bool = False
    rounds: int = 0
    patients: int | None = None
    epsilon: float | None = None
    seconds: float | None = None
    to_site: int = 0
    from_site: int = 0
    slowest: bool = False


class PhaseNow(Section):
    """The phase of the round that goes on.

    Attributes:
        round, attempt: of it.
        phase: its name.
        since: when it began, ISO 8601, UTC.
        asked: sites.
        awaited: of them, those that have not sent their update; None in a phase whose answers are not noted.
    """

    round: int
    attempt: int
    phase: str
    since: str
    asked: tuple[str, ...]
    awaited: tuple[str, ...] | None


class AbortLine(Section):
    """A secure aggregation that was tried again: in which phase, why, and whose doing it was."""

    round: int
    attempt: int
    phase: str
    reason: str
    sites: tuple[str, ...]


class LossNow(Section):
    """The last loss of an objective, and the standard deviation of the privacy noise in it."""

    objective: str
    value: float
    std: float


class LogLine(Section):
    """A line of the journal in words; `number` counts from 1."""

    number: int
    time: str
    event: str
    tone: Tone
    text: str


class SiteEvidence(Section):
    """What a site has said of the release.

    Attributes:
        site: name.
        standing: `answered`, `awaited`, or `none` where it was given up.
        why: it was given up.
        verdict: of its own audit; None where that has not come, is withheld, or says nothing alone.
        reason: of the row that made it, where that is no PASS.
        judged: rows of its audit by their verdict.
        withheld: parts that its policy keeps at the site: `audit`, `evaluation`.
    """

    site: str
    standing: Literal["answered", "awaited", "none"]
    why: str | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    judged: dict[Verdict, int] = Field(default_factory=dict)
    withheld: tuple[str, ...] = ()


class EvidenceCell(Section):
    """What a site's own row says: its verdict and its first value with its interval, or that it has kept them."""

    verdict: Verdict | None = None
    value: int | float | None = None
    low: float | None = None
    high: float | None = None
    withheld: bool = False


class EvidenceLine(Section):
    """A row of evidence with a cell for each site; `value` names the value that the cells show."""

    group: str
    title: str
    value: str | None
    cells: tuple[EvidenceCell, ...]


class EvidenceOfSites(Section):
    """Rows as they come: of the sites that have answered, each with its own numbers."""

    sites: tuple[str, ...] = ()
    rows: tuple[EvidenceLine, ...] = ()


class PreviewNow(Section):
    """What the model drew last while it was trained: after which round, and how many images."""

    round: int
    images: int


class PageState(Section):
    """A run, as far as it is.

    Attributes:
        study, run: names of the study and of the run folder.
        key: by which the page addresses it.
        family, mode, secure: of the study.
        standing: see there.
        stage: that goes on, or went on last; empty where none has begun.
        since: when the last event was written, ISO 8601, UTC.
        waiting: for whom, where sites are being waited for.
        problem: why it stopped.
        finishing: share done of what is made of the model after the last round, in [0, 1].
        round, rounds: finished, and of the study.
        seconds_a_round: the median; eta_seconds: until the last round is over.
        epsilon: upper bound of what any site has spent; None without privacy or before the first round.
        target, delta: of the study; None without privacy.
        losses: of the last round.
        sites: by name.
        phase: of the round that goes on.
        aborts: the last ones.
        dropouts: sites that were asked and are not in a round's sum, over all rounds.
        evidence: what each site that was asked about the release has said.
        noised: whether a site's answer is one noised sum, whose numbers say nothing alone.
        so_far: the sites' own rows, until they are joined; none where they say nothing alone.
        verdict, reasons: of the audit.
        rows: audits and metrics over the sites.
        samples: whether there is a picture of the release.
        preview: the newest picture of the model in training; None where there is none.
        no_preview: why none will come, as a sentence; None where one may.
        report: whether there is a report.
        log: the last lines.
    """

    study: str
    run: str
    key: str
    family: str
    mode: str
    secure: bool
    standing: Standing
    stage: str = ""
    since: str | None = None
    waiting: str | None = None
    problem: str | None = None
    finishing: float | None = None
    round: int
    rounds: int
    seconds_a_round: float | None = None
    eta_seconds: float | None = None
    epsilon: float | None = None
    target: float | None = None
    delta: float | None = None
    losses: tuple[LossNow, ...] = ()
    sites: tuple[SiteLine, ...] = ()
    phase: PhaseNow | None = None
    aborts: tuple[AbortLine, ...] = ()
    dropouts: int = 0
    evidence: tuple[SiteEvidence, ...] = ()
    noised: bool = False
    so_far: EvidenceOfSites = EvidenceOfSites()
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    samples: bool = False
    preview: PreviewNow | None = None
    no_preview: str | None = None
    report: bool = False
    log: tuple[LogLine, ...] = ()
