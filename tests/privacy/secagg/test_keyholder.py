"""A site's sessions over rounds, attempts and restarts: what was opened once is never opened otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.secagg import Keyholder, Phase, SecAggAborted, Server
from fedgen_privacy.secagg.opened import OpenedSum, OpenedSums

NAMES = [f"site{k:02d}" for k in range(5)]
A = NAMES[0]
OTHER = b"\1" * 32


@pytest.fixture
def holders(drill: Any, tmp_path: Path) -> Any:
    """Five sites that keep their sessions; `start(name)` is what a restart of one does."""
    session = drill(5, threshold=4)

    class Holders(dict[str, Keyholder]):
        roster, parameters, study, model = session.roster, session.parameters, session.study, session.model

        def start(self, name: str) -> None:
            self[name] = Keyholder(
                session.identities[name], session.roster, session.parameters, session.study, tmp_path / name
            )

        def play(
            self,
            round: int = 1,
            attempt: int = 1,
            model: bytes = session.model,
            absent: tuple[str, ...] = (),
            stop: Phase | None = None,
        ) -> Any:
            """A session of those who are not absent, up to a phase's requests, or its total."""
            place = (round, attempt)
            asked = [name for name in self if name not in absent]
            server = Server(self.roster, self.parameters, self.study, round, attempt, model)
            adverts = {name: self[name].advertise(*place).advert for name in asked}
            requests = server.share_requests(adverts)
            if stop is Phase.SHARE:
                return requests
            requests = server.mask_requests({n: self[n].share(*place, r) for n, r in requests.items()})
            if stop is Phase.MASK:
                return requests
            for name, request in requests.items():
                self[name].open(*place, request, model)
                sent = self[name].mask(*place, np.full(5, 0.5, np.float32), 2, (1.0, 2.0))
                server.add(name, sent.receipt, sent.words)
            requests = server.confirm_requests()
            if stop is Phase.CONFIRM:
                return requests
            requests = server.unmask_requests({n: self[n].confirm(*place, r) for n, r in requests.items()})
            if stop is Phase.UNMASK:
                return requests
            return server.finish({n: self[n].unmask(*place, r) for n, r in requests.items()})

    found = Holders()
    for name in NAMES:
        found.start(name)
    return found


def test_rounds_follow_one_another_and_are_written_down(holders: Any, tmp_path: Path) -> None:
    for round in (1, 2, 3):
        assert holders.play(round).weight == 10
    lines = [json.loads(line) for line in (tmp_path / A / "opened.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert lines[0] == {
        "study": holders.study.hex(),
        "round": 1,
        "model": holders.model.hex(),
        "survivors": NAMES,
    }


@pytest.mark.parametrize("phase", list(Phase)[1:])
def test_a_restart_ends_every_session(holders: Any, aborts: Any, phase: Phase) -> None:
    request = holders.play(stop=phase)[A]
    holders.start(A)
    call = {
        Phase.SHARE: lambda: holders[A].share(1, 1, request),
        Phase.MASK: lambda: holders[A].open(1, 1, request, holders.model),
        Phase.CONFIRM: lambda: holders[A].confirm(1, 1, request),
        Phase.UNMASK: lambda: holders[A].unmask(1, 1, request),
    }[phase]
    with aborts(phase, "this site was restarted"):
        call()


@pytest.mark.parametrize("again", [(1, 1), (1, 2), (2, 1)])
def test_a_new_session_ends_the_old_one_and_wipes_it(
    holders: Any, secrets_in: Any, again: tuple[int, int]
) -> None:
    request = holders.play(stop=Phase.CONFIRM)[A]
    old = holders[A]._sessions[1, 1]
    assert secrets_in(old)
    holders[A].advertise(*again)
    assert not secrets_in(old)
    with pytest.raises(SecAggAborted):
        holders[A].confirm(1, 1, request)


def test_a_round_whose_sum_was_opened_is_not_opened_over_others(holders: Any, aborts: Any) -> None:
    """A sum over five sites and one over four would show the fifth's update as their difference."""
    holders.play()
    assert holders[A].advertise(1, 2).bound_to == tuple(NAMES)
    requests = holders.play(attempt=2, absent=(NAMES[4],), stop=Phase.CONFIRM)
    for name in NAMES[:4]:
        with aborts(Phase.CONFIRM, "was already summed over site00"):
            holders[name].confirm(1, 2, requests[name])
        with aborts(Phase.UNMASK, "again or out of order"):
            holders[name].unmask(1, 2, requests[name])


def test_the_same_sum_may_be_opened_again(holders: Any) -> None:
    first = holders.play(absent=(NAMES[2],))
    for name in NAMES:
        holders.start(name)
    second = holders.play(attempt=2, absent=(NAMES[2],))
    assert (first.weight, first.metrics) == (second.weight, second.metrics)


def test_a_restart_does_not_forget_what_was_opened(holders: Any, aborts: Any) -> None:
    holders.play()
    for name in NAMES:
        holders.start(name)
    requests = holders.play(attempt=2, absent=(NAMES[4],), stop=Phase.CONFIRM)
    with aborts(Phase.CONFIRM, "was already summed"):
        holders[A].confirm(1, 2, requests[A])


def test_a_round_is_not_opened_for_another_model(holders: Any, aborts: Any, secrets_in: Any) -> None:
    holders.play()
    requests = holders.play(attempt=2, model=OTHER, stop=Phase.MASK)
    with aborts(Phase.MASK, "round 1 was already summed for another model"):
        holders[A].open(1, 2, requests[A], OTHER)
    assert not secrets_in(holders[A]._sessions[1, 2])


def test_two_halves_of_the_sites_cannot_open_two_sums_of_a_round(holders: Any) -> None:
    """Some answered the first attempt, the others did not: too few of either are left for a second sum."""
    requests = holders.play(stop=Phase.UNMASK)
    for name in NAMES[:2]:
        holders[name].unmask(1, 1, requests[name])
    requests = holders.play(attempt=2, absent=(NAMES[0],), stop=Phase.CONFIRM)
    refused = []
    for name in requests:
        try:
            holders[name].confirm(1, 2, requests[name])
        except SecAggAborted:
            refused.append(name)
    assert refused == [NAMES[1]]
    assert len(requests) - len(refused) < holders.parameters.threshold


def test_an_answer_that_cannot_be_written_down_does_not_leave(
    holders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = holders.play(stop=Phase.UNMASK)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("fedgen_privacy.durable.os.fsync", full)
        holders[A].unmask(1, 1, requests[A])
    with pytest.raises(SecAggAborted):
        holders[A].unmask(1, 1, requests[A])
    holders.start(A)
    assert holders[A].advertise(1, 2).bound_to == ()


# The file -----------------------------------------------------------------------------------------------------------

ONE = OpenedSum("ab", 1, "cd", ("a", "b", "c"))


def test_a_line_torn_by_a_crash_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "opened.jsonl"
    OpenedSums(path).record(ONE)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole + whole[:size])
        again = OpenedSums(path)
        assert again.of_round("ab", 1) == ONE
        # Another process may be writing that line: who only reads takes nothing away.
        assert path.read_bytes() == whole + whole[:size]
        path.write_bytes(whole[:size])
        assert OpenedSums(path).of_round("ab", 1) is None
        OpenedSums(path).record(ONE)
        assert path.read_bytes() == whole
    two = OpenedSum("ab", 2, "cd", ("a", "b", "c"))
    path.write_bytes(whole + b"{")
    OpenedSums(path).record(two)
    assert OpenedSums(path).of_round("ab", 2) == two


@pytest.mark.parametrize(
    "line", ["{}", "[]", "nonsense", "", '{"study": "x", "round": "y", "model": "", "survivors": []}']
)
def test_a_damaged_line_stops_the_site(tmp_path: Path, line: str) -> None:
    path = tmp_path / "opened.jsonl"
    OpenedSums(path).record(ONE)
    path.write_bytes(path.read_bytes() + line.encode() + b"\n" + path.read_bytes())
    with pytest.raises(PrivacyRefusedError, match="damaged at line 2"):
        OpenedSums(path)


def test_another_sum_of_the_same_round_is_refused(tmp_path: Path) -> None:
    sums = OpenedSums(tmp_path / "opened.jsonl")
    sums.record(ONE)
    sums.record(ONE)
    for other in (OpenedSum("ab", 1, "cd", ("a", "b")), OpenedSum("ab", 1, "ce", ("a", "b", "c"))):
        with pytest.raises(PrivacyRefusedError, match="Round 1 was already summed over a, b, c"):
            sums.record(other)
    assert len((tmp_path / "opened.jsonl").read_text().splitlines()) == 1
    sums.record(OpenedSum("another study", 1, "cd", ("a", "b")))


def test_what_another_process_opened_meanwhile_counts(tmp_path: Path) -> None:
    mine, other = OpenedSums(tmp_path / "opened.jsonl"), OpenedSums(tmp_path / "opened.jsonl")
    other.record(ONE)
    with pytest.raises(PrivacyRefusedError, match="already summed over a, b, c"):
        mine.record(OpenedSum("ab", 1, "cd", ("a", "b")))
    mine.record(ONE)
    assert len((tmp_path / "opened.jsonl").read_text().splitlines()) == 1


def test_one_memory_serves_every_round(holders: Any) -> None:
    """The masked vector of a round is gone once the next is made, so a site never holds two."""
    made = []
    for round in (1, 2):
        request = holders.play(round, stop=Phase.MASK)[A]
        holders[A].open(round, 1, request, holders.model)
        made.append(holders[A].mask(round, 1, np.zeros(5, np.float32), 2, (1.0, 2.0)).words)
    assert np.shares_memory(*made)
