"""Which site was asked to train in which round, and what that cost at most: the coordinator sees no ledger.

A site charges its ledger when it is asked, whether or not its update arrives. What was asked is therefore written
down before it is sent, so that no crash of the coordinator can make the epsilon it states too small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedgen.errors import FederationError
from fedgen.federation.exchange.contract import Exchange
from fedgen.protocol.messages import Answer, SiteDescription, Task, TrainMasked, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen_privacy.accounting import Spend

#: What an event need not repeat of a description. The grid is noted, for a site that is away when the run is resumed:
#: the model has learned from its images.
_NOT_NOTED = {"kind", "keys"}


class Asking:
    """An exchange that writes an event `asked` before each request to train.

    Args:
        exchange: what carries the messages.
        run: where the events go.
    """

    def __init__(self, exchange: Exchange, run: RunDirectory) -> None:
        self._exchange = exchange
        self._run = run
        self._described: dict[str, dict[str, Any]] = {}

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
            self._run.event("asked", round=round, sites=[self._described[site] for site in sorted(sites)])
        for site, answer in self._exchange.stream(tasks, deadline):
            if isinstance(answer, SiteDescription):
                self._described[answer.site] = answer.model_dump(mode="json", exclude=_NOT_NOTED)
            yield site, answer


def spent(
    recipe: Recipe, run: RunDirectory, sites: Sequence[SiteDescription], rounds: int
) -> tuple[list[SiteDescription], dict[str, list[Spend]]]:
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
    known = {site.site: site for site in sites}
    charged: dict[str, set[tuple[int, Spend]]] = {site.site: set() for site in sites}

    def charge(round: int, site: SiteDescription) -> None:
        known.setdefault(site.site, site)
        rows = charged.setdefault(site.site, set())
        base = mechanism.stated(site.noise_multiplier, site.sampling_rate, site.steps_per_round)
        spend = mechanism.spend(round, base)
        if spend is not None:
            rows.add((round, spend))

    noted = set()
    for event in run.read_events("asked"):
        noted.add(int(event["round"]))
        for row in event["sites"]:
            charge(int(event["round"]), SiteDescription(**row))
    for round in set(range(1, rounds + 1)) - noted:
        for site in sites:
            charge(round, site)
    return (
        [known[name] for name in sorted(known)],
        {
            name: [spend for _, spend in sorted(rows, key=lambda row: row[0])]
            for name, rows in charged.items()
        },
    )
