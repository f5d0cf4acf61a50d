"""Sites that come late, go away and come back: at the next round they are in it, and nobody waits for long."""

from __future__ import annotations

import json

import pytest

from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.protocol.messages import Describe
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Joined, LeftOut, RoundDone
from fedgen_privacy.ledger import Ledger

SIZES = {"east": 6, "north": 9, "south": 9, "west": 12}
SECURE = {"secure": True, "minimum_sites": 3, "weight_cap": 16}
PLAIN = {"secure": False, "minimum_sites": 3}


class Coming:
    """An exchange whose sites are there when `there(site, rounds finished)` says so."""

    def __init__(self, exchange, run, there) -> None:
        self._exchange, self._run, self._there = exchange, run, there
        self.silent: set[str] = set()
        self.described: list[str] = []

    def sites(self):
        done = len(self._run.read_events(RoundDone))
        return [site for site in self._exchange.sites() if self._there(site, done)]

    def stream(self, tasks, deadline):
        self.described += [site for site, task in tasks.items() if isinstance(task, Describe)]
        for site, answer in self._exchange.stream(tasks, deadline):
            if site not in self.silent:
                yield site, answer


@pytest.fixture(params=[PLAIN, SECURE], ids=["plain", "secure"])
def coming(request, quick_plans, tiny_study, tiny_site, tmp_path):
    """`coming(there, rounds)`: a federation of four, plain or secure, and how to train it."""

    def build(there, rounds=4):
        study = tiny_study(aggregation=request.param, training={"rounds": rounds})
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir(exist_ok=True)
        secure = study.aggregation.secure
        names = roster({site: run.site(site) for site in SIZES})
        sites = [
            Site(
                Recipe.of(study),
                tiny_site(site, n),
                run.site(site),
                keyholder(Recipe.of(study), names, site, run.site(site)) if secure else None,
            )
            for site, n in SIZES.items()
        ]
        exchange = Coming(DirectExchange(sites), run, there)
        aggregator = SecureAggregator(Recipe.of(study), names) if secure else PlainAggregator()
        return exchange, run, lambda: train(Recipe.of(study), exchange, aggregator, run)

    return build


def rounds_of(run) -> dict[int, list[str]]:
    return {event.round: list(event.sites) for event in run.read_events(RoundDone)}


def test_a_site_that_comes_late_is_in_the_next_round(coming) -> None:
    _, run, go = coming(lambda site, done: site != "west" or done >= 2)
    trained = go()
    others = ["east", "north", "south"]
    assert rounds_of(run) == {1: others, 2: others, 3: sorted(SIZES), 4: sorted(SIZES)}
    assert [(event.site, event.round) for event in run.read_events(Joined)] == [("west", 3)]
    assert [site.site for site in trained.sites] == sorted(SIZES)
    # charged for what it took part in, and for nothing else
    assert [row.round for row in Ledger(run.site("west") / "ledger.jsonl")] == [3, 4]


def test_a_site_absent_for_two_rounds_comes_back(coming) -> None:
    exchange, run, go = coming(lambda site, done: site != "north" or done not in (1, 2))
    go()
    others = ["east", "south", "west"]
    assert rounds_of(run) == {1: sorted(SIZES), 2: others, 3: others, 4: sorted(SIZES)}
    assert [row.round for row in Ledger(run.site("north") / "ledger.jsonl")] == [1, 4]
    # it had said what it brings
    assert exchange.described.count("north") == 1


def test_the_epsilon_shown_counts_those_that_came_late(coming) -> None:
    _, run, go = coming(lambda site, done: site != "east" or done >= 1)
    go()
    first, *_, last = [event.epsilon for event in run.read_events(RoundDone)]
    # east has the fewest patients and so, at each round, not less noise but its own bound
    assert 0 < first <= last <= 20


@pytest.mark.slow
def test_a_late_site_that_keeps_silent_is_asked_ever_more_rarely(coming) -> None:
    exchange, run, go = coming(lambda site, done: True, rounds=9)
    exchange.silent = {"west"}
    go()
    # before round 1, then before 2, 4 and 8: each silence costs the others a deadline
    assert exchange.described.count("west") == 4
    assert all("west" not in sites for sites in rounds_of(run).values())
    assert json.dumps(run.read_events(LeftOut)[0].site) == '"west"'
