"""Which site was asked to train in which round, and what that cost at most: the coordinator sees no ledger.

A site charges its ledger when it is asked, whether or not its update arrives. What was asked is therefore written
down before it is sent, so that no crash of the coordinator can make the epsilon it states too small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fedgen.errors import FederationError
from fedgen.federation.exchange.contract import Exchange
from fedgen.protocol.messages import Answer, SiteDescription, Task, TrainMasked, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Asked, AskedSite
from fedgen_privacy.accounting import Spend


class Asking:
    """An exchange that writes an event `asked` before each request to train.

    Args:
        exchange: what carries the messages.
        run: where the events go.
    """

    def __init__(self, exchange: Exchange, run: RunDirectory) -> None:
        self._exchange = exchange
        self._run = run
        self._described: dict[str, AskedSite] = {}

    def sites(self) -> Sequence[str]:
        """As the exchange."""
        return self._exchange.sites()

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """As the exchange.

        Raises:
            FederationError: a site was to train that never said what a round costs it.
        """
        asked: dict[int, list[str]] = {}
        for site, task in tasks.items():
            if isinstance(task, TrainRound | TrainMasked):
                round = task.round if isinstance(task, TrainRound) else task.train.round
                asked.setdefault(round, []).append(site)
        for round, sites in asked.items():
            unknown = sorted(set(sites) - set(self._described))
            if unknown:
                raise FederationError(
                    f"{', '.join(unknown)} did not say what a round costs, so no epsilon could be stated: ask anew."
                )
            self._run.event(Asked(round=round, sites=tuple(self._described[site] for site in sorted(sites))))
        for site, answer in self._exchange.stream(tasks, deadline):
            if isinstance(answer, SiteDescription):
                self._described[answer.site] = stated(answer)
            yield site, answer


def stated(site: SiteDescription) -> AskedSite:
    """What a run notes of a description."""
    return AskedSite(**{name: getattr(site, name) for name in AskedSite.model_fields})


def spent(
    recipe: Recipe, run: RunDirectory, sites: Sequence[SiteDescription], rounds: int
) -> tuple[list[AskedSite], dict[str, list[Spend]]]:
    """Every site that was ever asked to train, and an upper bound of what each spent.

    A round of which nothing was written counts for all `sites`. A site that came back with another plan is charged
    for both.

    Args:
        recipe: of the study.
        run: with the events of all its starts.
        sites: who described itself last.
        rounds: finished rounds.
    """
    mechanism = recipe.mechanism
    known = {site.site: stated(site) for site in sites}
    charged: dict[str, set[tuple[int, Spend]]] = {site.site: set() for site in sites}

    def charge(round: int, site: AskedSite) -> None:
        known.setdefault(site.site, site)
        rows = charged.setdefault(site.site, set())
        base = mechanism.stated(site.noise_multiplier, site.sampling_rate, site.steps_per_round)
        spend = mechanism.spend(round, base)
        if spend is not None:
            rows.add((round, spend))

    noted = set()
    for event in run.read_events(Asked):
        noted.add(event.round)
        for row in event.sites:
            charge(event.round, row)
    for round in set(range(1, rounds + 1)) - noted:
        for site in sites:
            charge(round, stated(site))
    return (
        [known[name] for name in sorted(known)],
        {
            name: [spend for _, spend in sorted(rows, key=lambda row: row[0])]
            for name, rows in charged.items()
        },
    )
