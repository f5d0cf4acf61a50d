"""Who was asked is written down before it is asked, and counts even where no answer came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
import torch

from fedgen.errors import FederationError
from fedgen.pipeline.asked import Asking, spent
from fedgen.protocol.messages import Answer, Describe, SiteDescription, Task, TrainMasked, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Asked
from fedgen_privacy.accounting import Spend

HASH = "a" * 64


def described(name: str, sigma: float = 2.0) -> SiteDescription:
    return SiteDescription(
        site=name,
        patients=9,
        sampling_rate=0.5,
        noise_multiplier=sigma,
        steps_per_round=3,
        epsilon=1.0 if sigma else None,
        epsilon_rdp=1.1 if sigma else None,
    )


class Deaf:
    """Sites that describe themselves and then never answer."""

    def __init__(self, run: RunDirectory, *descriptions: SiteDescription) -> None:
        self._run = run
        self._known = {site.site: site for site in descriptions}
        self.events_when_asked: list[int] = []

    def sites(self) -> Sequence[str]:
        return sorted(self._known)

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        self.events_when_asked.append(len(self._run.read_events(Asked)))
        for site, task in tasks.items():
            if isinstance(task, Describe):
                yield site, self._known[site]


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path)


def train(round: int) -> TrainRound:
    return TrainRound(study_sha256=HASH, round=round, model_sha256=HASH, model=torch.zeros(1))


def ask(exchange: Asking, *tasks: tuple[str, Task]) -> None:
    list(exchange.stream(dict(tasks), 1.0))


def test_a_request_is_on_disk_before_it_is_sent(run) -> None:
    deaf = Deaf(run, described("a"), described("b"))
    exchange = Asking(deaf, run)
    assert exchange.sites() == ["a", "b"]
    ask(exchange, ("a", Describe(study_sha256=HASH, round=1)), ("b", Describe(study_sha256=HASH, round=1)))
    ask(exchange, ("a", train(1)), ("b", TrainMasked(train=train(1), attempt=1, request=b"")))
    assert deaf.events_when_asked == [0, 1]
    (event,) = run.read_events(Asked)
    assert event.round == 1
    assert [site.site for site in event.sites] == ["a", "b"]


def test_nobody_is_asked_to_spend_an_unknown_epsilon(run) -> None:
    with pytest.raises(FederationError, match="b did not say what a round costs"):
        ask(Asking(Deaf(run, described("b")), run), ("b", train(1)))
    assert run.read_events(Asked) == []


def test_every_round_asked_counts_once_over_all_starts(run, tiny_study) -> None:
    a, b, c = described("a"), described("b"), described("c", sigma=4.0)
    first = Asking(Deaf(run, a, b), run)
    ask(first, ("a", Describe(study_sha256=HASH, round=1)), ("b", Describe(study_sha256=HASH, round=1)))
    for round in (1, 2):
        ask(first, ("a", train(round)), ("b", train(round)))
    # After a crash b is gone, round 2 is asked again, and c comes late.
    second = Asking(Deaf(run, a, c), run)
    ask(second, ("a", Describe(study_sha256=HASH, round=2)), ("c", Describe(study_sha256=HASH, round=2)))
    ask(second, ("a", train(2)))
    ask(second, ("a", train(3)), ("c", train(3)))
    sites, spends = spent(Recipe.of(tiny_study()), run, (a, c), 3)
    assert [site.site for site in sites] == ["a", "b", "c"]
    assert spends == {"a": [Spend(2.0, 0.5, 3)] * 3, "b": [Spend(2.0, 0.5, 3)] * 2, "c": [Spend(4.0, 0.5, 3)]}


def test_a_site_that_comes_back_with_another_plan_is_charged_for_both(run, tiny_study) -> None:
    for sigma in (2.0, 3.0):
        exchange = Asking(Deaf(run, described("a", sigma)), run)
        ask(exchange, ("a", Describe(study_sha256=HASH, round=1)))
        ask(exchange, ("a", train(1)))
    _, spends = spent(Recipe.of(tiny_study()), run, (described("a", 3.0),), 1)
    assert sorted(spend.noise_multiplier for spend in spends["a"]) == [2.0, 3.0]


def test_a_round_of_which_nothing_is_known_counts_for_everybody(run, tiny_study) -> None:
    _, spends = spent(Recipe.of(tiny_study()), run, (described("a"), described("b")), 2)
    assert spends == {"a": [Spend(2.0, 0.5, 3)] * 2, "b": [Spend(2.0, 0.5, 3)] * 2}


def test_without_privacy_nothing_is_spent(run, tiny_study) -> None:
    sites, spends = spent(Recipe.of(tiny_study()), run, (described("a", sigma=0.0),), 2)
    assert [site.site for site in sites] == ["a"]
    assert spends == {"a": []}


def test_a_warm_start_and_a_schedule_cost_what_they_say(run, tiny_study) -> None:
    study = tiny_study(
        privacy={"central_images": {"images": 2}, "schedule": {"from_round": (2,), "noise_factor": (0.5,)}}
    )
    _, spends = spent(Recipe.of(study), run, (described("a"),), 3)
    assert spends == {"a": [Spend(5.0, 0.1, 2), Spend(2.0, 0.5, 3), Spend(1.0, 0.5, 3)]}
