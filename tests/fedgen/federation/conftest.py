"""A federation in this process, and an exchange in which chosen sites misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.exchange.contract import Exchange
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.protocol.messages import Answer, Task, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.study import Study

PATIENTS = {"east": 6, "north": 9, "south": 9}


class Spoiled:
    """An exchange that gives each of `spoil`'s sites' answers to a round to a function; None is silence."""

    def __init__(
        self, exchange: Exchange, spoil: Mapping[str, Callable[[Answer, Task], Answer | None]]
    ) -> None:
        self._exchange = exchange
        self._spoil = spoil
        self.asked: list[tuple[str, Task]] = []

    def sites(self) -> Sequence[str]:
        return self._exchange.sites()

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        self.asked += tasks.items()
        for site, answer in self._exchange.stream(tasks, deadline):
            if site in self._spoil and isinstance(tasks[site], TrainRound):
                answer = self._spoil[site](answer, tasks[site])
            if answer is not None:
                yield site, answer


@pytest.fixture(scope="session", autouse=True)
def _quick(quick_plans: None) -> None:
    """Every site of these tests."""


@pytest.fixture
def federation(tmp_path, tiny_site) -> Callable[..., SimpleNamespace]:
    """`federation(study)`: sites of 6, 9 and 9 training patients and a run, all under the test's folder.

    Called again it is the same federation after a restart: nothing but the folders is kept.
    """

    def build(study: Study, spoil: Mapping[str, Any] | None = None, where: str = "run") -> SimpleNamespace:
        run = RunDirectory(tmp_path / where)
        run.path.mkdir(exist_ok=True)
        sites = {
            name: Site(Recipe.of(study), tiny_site(name, n), run.site(name)) for name, n in PATIENTS.items()
        }
        exchange = Spoiled(DirectExchange(list(sites.values())), spoil or {})
        return SimpleNamespace(
            study=study,
            recipe=Recipe.of(study),
            run=run,
            sites=sites,
            exchange=exchange,
            train=lambda on_round=None: train(Recipe.of(study), exchange, PlainAggregator(), run, on_round),
        )

    return build


@pytest.fixture
def events() -> Callable[..., list[dict[str, Any]]]:
    """Lines of a run's events.jsonl, of one kind if asked."""

    def read(run: RunDirectory, event: str | None = None) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in run.events.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    return read
