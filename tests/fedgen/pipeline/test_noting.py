"""What goes on within a round is written down as it happens, and nothing else of an exchange is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
import torch

from fedgen.errors import ExitCode
from fedgen.pipeline.noting import Noting
from fedgen.protocol.messages import (
    Answer,
    Describe,
    MaskedUpdate,
    Refusal,
    RoundUpdate,
    SecureStep,
    Task,
    TrainMasked,
    TrainRound,
)
from fedgen.run.directory import RunDirectory
from fedgen.run.events import PhaseBegun, SiteAnswered
from fedgen_privacy.secagg import Phase

HASH = "a" * 64
TRAIN = TrainRound(study_sha256=HASH, round=2, model_sha256=HASH, model=torch.zeros(5))
UPDATE = RoundUpdate(
    site="b", round=2, model_sha256=HASH, update=torch.zeros(5), weight=1.0, losses={"x": (0.0, 0.0)}
)


class Sites:
    """Answers what it was given, and remembers how many events there were when it was asked and before each answer."""

    def __init__(self, run: RunDirectory, answers: Mapping[str, Answer]) -> None:
        self._run, self._answers = run, answers
        self.seen: list[int] = []

    def sites(self) -> Sequence[str]:
        return ("a", "b")

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        for site, answer in self._answers.items():
            self.seen.append(len(self._run.events_so_far()))
            yield site, answer


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_a_round_in_the_clear(run: RunDirectory) -> None:
    sites = Sites(run, {"b": UPDATE})
    noting = Noting(sites, run)
    assert noting.sites() == ("a", "b")
    assert list(noting.stream({"b": TRAIN, "a": TRAIN}, 1.0)) == [("b", UPDATE)]
    begun, answered = run.events_so_far()
    assert isinstance(begun, PhaseBegun) and isinstance(answered, SiteAnswered)
    assert (begun.round, begun.attempt, begun.phase, begun.sites) == (2, 1, "train", ("a", "b"))
    assert (answered.site, answered.bytes.to_sites, answered.bytes.from_sites) == ("b", 20, 20)
    # Before anybody is asked: a coordinator that dies then has said what it was about.
    assert sites.seen == [1]


def test_the_phases_of_a_secure_aggregation(run: RunDirectory) -> None:
    step = SecureStep(study_sha256=HASH, round=2, attempt=2, phase=Phase.SHARE, request=b"x")
    masked = TrainMasked(train=TRAIN, attempt=2, request=b"x")
    words = MaskedUpdate(site="a", round=2, attempt=2, receipt=b"", words=np.zeros(7, np.uint32))
    refusal = Refusal(site="b", code=ExitCode.FEDERATION, reason="no")
    list(Noting(Sites(run, {}), run).stream({"a": step}, 1.0))
    list(Noting(Sites(run, {"a": words, "b": refusal}), run).stream({"a": masked, "b": masked}, 1.0))
    share, mask, answered = run.events_so_far()
    assert isinstance(share, PhaseBegun) and (share.phase, share.attempt) == ("share", 2)
    assert isinstance(mask, PhaseBegun) and (mask.phase, mask.round) == ("mask", 2)
    assert isinstance(answered, SiteAnswered)
    assert (answered.site, answered.bytes.to_sites, answered.bytes.from_sites) == ("a", 20, 28)


def test_what_is_no_part_of_a_round_is_not_noted(run: RunDirectory) -> None:
    list(Noting(Sites(run, {"b": UPDATE}), run).stream({"b": Describe(study_sha256=HASH, round=1)}, 1.0))
    list(Noting(Sites(run, {}), run).stream({}, 1.0))
    assert not run.events.exists()


def test_what_came_before_a_failure_is_written(run: RunDirectory) -> None:
    stream = Noting(Sites(run, {"a": UPDATE, "b": UPDATE}), run).stream({"a": TRAIN, "b": TRAIN}, 1.0)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert [event.event for event in run.events_so_far()] == ["phase", "answered"]
