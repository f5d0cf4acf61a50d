"""What the hospital's page shows, as plain values: a page, a test and `state.json` read the same."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fedgen.schema.section import Section
from fedgen_client.standing import State

Direction = Literal["in", "out", "here"]


class BudgetShare(Section):
    """What one study has cost a cohort.

    Attributes:
        study: its hash.
        name: its name, or None where the study is no longer kept.
        rounds: rounds charged.
        epsilon: of this study alone, rounded upwards; None without a bound. Shares add up to more than is spent, since
            studies compose.
        kept_free: of this study alone once it is done, where it was admitted and is not done.
    """

    study: str
    name: str | None
    rounds: int
    epsilon: float | None
    kept_free: float | None = None


class BudgetGauge(Section):
    """A cohort's budget over all studies.

    Attributes:
        cohort: its name.
        delta: at which epsilon is counted.
        limit: epsilon allowed in all; None for no limit.
        spent: epsilon of all studies together, rounded upwards; None without a bound.
        promised: the same once every study that was admitted is done.
        left: what is certainly left beyond that, rounded downwards; None without a limit.
        shares: of each study.
        damaged: what is wrong with the ledger, in which case no number of it is known.
        known: whether the site file still has the cohort.
    """

    cohort: str
    delta: float
    limit: float | None = None
    spent: float | None = 0.0
    promised: float | None = 0.0
    left: float | None = None
    shares: tuple[BudgetShare, ...] = ()
    damaged: str | None = None
    known: bool = True


class Addition(Section):
    """What a study would add to a cohort's budget.

    Attributes:
        already: whether the ledger keeps its budget free already.
        epsilon: at most, by what the study promises; None where that gives no number at the cohort's delta.
        left: of the limit after it, if the two are simply added: below 0 where the sum is above the limit.
    """

    already: bool = False
    epsilon: float | None
    left: float | None = None


class OfferShown(Section):
    """A study in the list.

    Attributes:
        name: the study's.
        study: its hash.
        manifest: hash of the signed manifest, of which a decision is.
        about: what is trained, in a line.
        epsilon: promised to each patient at `delta`; None without privacy.
        delta: at which the study counts.
        signed: when the coordinator signed it.
        state: how it stands here.
        said: who decided, or what forbids it.
        progress: how far it is, as the coordinator and the ledger say; empty where neither says anything.
    """

    name: str
    study: str
    manifest: str
    about: str
    epsilon: float | None
    delta: float
    signed: datetime
    state: State
    said: str
    progress: str = ""


class Passage(Section):
    """A line of the log: what entered, what left, what was decided or happened here.

    Attributes:
        number: of its line, from 1.
        time: as it was written, UTC.
        direction: in, out, or here.
        words: what it was.
        study: name of the study, or empty.
        note: why it was refused, who decided, to whom it went; or empty.
        size: bytes, or None where nothing passed.
        sha256: of what passed, or None.
        refused: whether it tells of a refusal.
    """

    number: int
    time: str
    direction: Direction
    words: str
    study: str = ""
    note: str = ""
    size: int | None = None
    sha256: str | None = None
    refused: bool = False


class StudyTraffic(Section):
    """How much passed for one study, or beside all studies where it has no name.

    Attributes:
        study: its name.
        entered, left: number of messages.
        bytes_in, bytes_out: their sizes.
    """

    study: str
    entered: int = 0
    left: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class SiteLogShown(Section):
    """The log.

    Attributes:
        lines: how many it has.
        broken: what is wrong with its chain; None where every line is as it was written.
        traffic: by study.
        latest: the latest first.
    """

    lines: int
    broken: str | None
    traffic: tuple[StudyTraffic, ...]
    latest: tuple[Passage, ...]


class SiteShown(Section):
    """The whole first page.

    Attributes:
        site: its name.
        federation: its federation's.
        coordinator: address.
        key: fingerprint of this site's identity, to be compared by telephone.
        running: whether `fedgen-client start` is at work, in words.
        asked: when the coordinator was last asked, and what was wrong, in words.
        offers: the latest first.
        gauges: a cohort each.
        log: what passed.
        problem: why offers cannot be shown, where they cannot.
    """

    site: str
    federation: str
    coordinator: str
    key: str
    running: str
    asked: str
    offers: tuple[OfferShown, ...]
    gauges: tuple[BudgetGauge, ...]
    log: SiteLogShown
    problem: str | None = None


class StudyShown(Section):
    """A study's own page.

    Attributes:
        offer: as in the list.
        cohort: for which it is read.
        cohorts: that could be chosen.
        paragraphs: what `fedgen-client approve` prints: a heading and its text each.
        problems: what the policy says against it.
        gauge: the cohort's budget.
        addition: what the study would add to it.
        needs: a file that the site has to be given first, in words; or empty.
    """

    offer: OfferShown
    cohort: str
    cohorts: tuple[str, ...]
    paragraphs: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    gauge: BudgetGauge
    addition: Addition
    needs: str = ""
