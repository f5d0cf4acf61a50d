"""The sites of a run, from its events: who is in the sum, who is waited for, and what each one takes."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fedgen.dashboard.page_state import PhaseNow, Sighting, SiteLine
from fedgen.run.events import Asked, AskedSite, Dropout, Event, Joined, LeftOut, RoundDone, SiteAnswered

#: Of whose seconds the median is taken.
LATEST = 9
#: By how much the slowest site is slower than the next, in times and in seconds, to be worth a word.
SLOWER, WORTH_SECONDS = 1.25, 0.1


def site_lines(
    roster: Iterable[str],
    events: Sequence[Event],
    phase: PhaseNow | None,
    seen: Mapping[str, Sighting],
) -> tuple[SiteLine, ...]:
    """A line for each site of the roster and for each that the events name, by name.

    Args:
        roster: names, where they are known before the first event.
        events: of the run.
        phase: that goes on.
        seen: by site; empty where nobody knows.
    """
    rounds = {event.round: event for event in events if isinstance(event, RoundDone)}
    last = rounds[max(rounds)] if rounds else None
    stated: dict[str, AskedSite] = {}
    seconds: dict[str, list[float]] = defaultdict(list)
    to_site: dict[str, int] = defaultdict(int)
    from_site: dict[str, int] = defaultdict(int)
    why: dict[str, str] = {}
    left: dict[str, str] = {}
    for event in events:
        if isinstance(event, Asked):
            stated |= {site.site: site for site in event.sites}
            for site in event.sites:
                left.pop(site.site, None)
        elif isinstance(event, SiteAnswered):
            seconds[event.site].append(event.seconds)
            to_site[event.site] += event.bytes.to_sites
            from_site[event.site] += event.bytes.from_sites
        elif isinstance(event, Dropout):
            why[event.site] = event.reason
        elif isinstance(event, LeftOut):
            left[event.site] = event.reason
        elif isinstance(event, Joined):
            left.pop(event.site, None)
    names = {
        *roster,
        *stated,
        *left,
        *why,
        *seconds,
        *(site for event in rounds.values() for site in event.sites),
    }
    median = {site: statistics.median(taken[-LATEST:]) for site, taken in seconds.items()}
    slow = _slowest(median)

    def part(site: str) -> Literal["in", "out", "left_out", "waiting"]:
        if last is not None and site in last.sites:
            return "in"
        if site in left:
            return "left_out"
        return "waiting" if last is None else "out"

    return tuple(
        SiteLine(
            site=site,
            seen=seen.get(site),
            part=part(site),
            why=None if part(site) in ("in", "waiting") else left.get(site, why.get(site)),
            answering=phase is not None and phase.awaited is not None and site in phase.awaited,
            rounds=sum(site in event.sites for event in rounds.values()),
            patients=stated[site].patients if site in stated else None,
            epsilon=stated[site].epsilon if site in stated else None,
            seconds=median.get(site),
            to_site=to_site[site],
            from_site=from_site[site],
            slowest=site == slow,
        )
        for site in sorted(names)
    )


def _slowest(median: Mapping[str, float]) -> str | None:
    """The site that the others wait for, where there is one."""
    if len(median) < 2:
        return None
    *_, next_to_last, last = sorted(median.values())
    if last <= SLOWER * next_to_last or last - next_to_last < WORTH_SECONDS:
        return None
    return next(site for site, taken in median.items() if taken == last)
