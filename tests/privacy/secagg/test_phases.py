"""A site answers every phase once, in order, and nothing that is not a message of its session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedgen_privacy.secagg import Client, Identity, MessageError, Phase, SecAggAborted

A = "site00"


@pytest.mark.parametrize("phase", list(Phase)[1:])
@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "another kind", "text"])
def test_a_damaged_request_ends_the_session(
    drill: Any, aborts: Any, is_over: Any, phase: Phase, damage: str
) -> None:
    session = drill()
    request = session.until(phase)[A]
    damaged: Any = {
        "empty": b"",
        "cut": request[:-1],
        "longer": request + b"\0",
        "another kind": request[:5] + b"\x63" + request[6:],
        "text": "FGSA",
    }[damage]
    with pytest.raises(SecAggAborted) as caught:
        session.answer(A, phase, damaged)
    assert caught.value.phase is phase
    assert caught.value.sites == ()
    assert not isinstance(caught.value, MessageError)
    assert is_over(session.clients[A])


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_is_answered_once_and_in_order(drill: Any, is_over: Any, phase: Phase) -> None:
    for other in Phase:
        session = drill()
        requests = session.until(phase)
        if other is phase:
            session.answer(A, phase, requests[A])
        asked = session.requests.get(other, requests)[A]
        with pytest.raises(SecAggAborted, match=r"again or out of order|before the shares had come"):
            session.answer(A, other, asked)
        assert is_over(session.clients[A])


def test_a_vector_is_masked_once(drill: Any, aborts: Any, is_over: Any) -> None:
    for opened in (False, True):
        session = drill()
        requests = session.until(Phase.MASK)
        if opened:
            session.answer(A, Phase.MASK, requests[A])
        with aborts(Phase.MASK, "before the shares had come, or a second time"):
            session.clients[A].mask(np.zeros(5, np.float32), 1, (0.0, 0.0))
        assert is_over(session.clients[A])


@pytest.mark.parametrize("place", [(0, 1), (-1, 1), (2**32, 1), (1, 0), (1, 2**16)])
def test_a_round_or_attempt_that_cannot_be_is_refused(
    drill: Any, aborts: Any, place: tuple[int, int]
) -> None:
    session = drill()
    with aborts(Phase.ADVERTISE, "there is no round"):
        session.client(A, round=place[0], attempt=place[1])


def test_a_site_without_its_place_in_the_roster_does_not_start(drill: Any, aborts: Any) -> None:
    session = drill()
    for stranger in (Identity.generate("elsewhere"), Identity.generate(A)):
        with aborts(Phase.ADVERTISE, "does not have this site with this key", stranger.site):
            Client(stranger, session.roster, session.parameters, session.study, 1, 1)
