"""What the hospital's page shows, as plain values: a page, a test and `state.json` read the same."""

from __future__ import annotations

from typing import Literal

from fedgen.schema.section import Section
from fedgen_client.site_facts import CohortFacts, StudyFacts

Direction = Literal["in", "out", "here"]


class Addition(Section):
    """What a study would add to a cohort's budget.

    Attributes:
        stage: `admitted` where the ledger keeps its budget free already, `done` where all its rounds are charged.
        epsilon: at most, by what the study promises; None where that gives no number at the cohort's delta.
        left: of the limit after it, if the two are simply added: below 0 where the sum is above the limit.
    """

    stage: Literal["offered", "admitted", "done"] = "offered"
    epsilon: float | None
    left: float | None = None


class OfferShown(Section):
    """A study in the list.

    Attributes:
        facts: of it, as `fedgen-client studies --json` tells them.
        manifest: hash of the signed manifest, of which a decision is.
        about: what is trained, in a line.
        said: who decided, or what forbids it.
        progress: how far it is, as the ledger and the coordinator say; empty where neither says anything.
    """

    facts: StudyFacts
    manifest: str
    about: str
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
        step: whether it is one of the many small steps by which sites open a sum together.
        times: how often the same has passed since `since`, where lines that say the same are drawn together.
        since: time of the first of them.
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
    step: bool = False
    times: int = 1
    since: str = ""


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
        passed_over: how many steps of secure aggregation between them are left out.
    """

    lines: int
    broken: str | None
    traffic: tuple[StudyTraffic, ...]
    latest: tuple[Passage, ...]
    passed_over: int = 0


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
        cohorts: the budget of each, as `fedgen-client ledger --json` tells it.
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
    cohorts: tuple[CohortFacts, ...]
    log: SiteLogShown
    problem: str | None = None


class GivenShown(Section):
    """A file in the site's folder `given/`.

    Attributes:
        name: of it.
        size: bytes.
        sha256: of its content; None where it was not looked into.
        why_not: why not.
    """

    name: str
    size: int
    sha256: str | None
    why_not: str = ""


class WantedShown(Section):
    """A file that a study stands on and this site has to be given.

    Attributes:
        what: it is.
        sha256: by which the study names it.
        source: what the study says of where it comes from.
        where: `kept` where this site has it, else the name of the file in `given/` that has its hash, else None.
    """

    what: str
    sha256: str
    source: str
    where: str | None


class StudyShown(Section):
    """A study's own page.

    Attributes:
        offer: as in the list.
        cohort: for which it is read.
        cohorts: that could be chosen.
        paragraphs: what `fedgen-client approve` prints: a heading and its text each.
        problems: what the policy says against it.
        budget: of the cohort.
        addition: what the study would add to it.
        wanted: files that it stands on.
        given: what lies in `given/`, where one of them is not kept yet.
        given_folder: path of that folder.
        running: whether `fedgen-client start` is at work, in words.
    """

    offer: OfferShown
    cohort: str
    cohorts: tuple[str, ...]
    paragraphs: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    budget: CohortFacts
    addition: Addition
    running: str
    wanted: tuple[WantedShown, ...] = ()
    given: tuple[GivenShown, ...] = ()
    given_folder: str = ""

    @property
    def lacks(self) -> bool:
        """Whether a file that it stands on is nowhere here, so that it cannot be approved yet."""
        return any(file.where is None for file in self.wanted)
