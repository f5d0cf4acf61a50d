"""Messages of another round, attempt, study or sender are refused by sites and by the coordinator."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fedgen_privacy.secagg import Phase, SecAggAborted
from fedgen_privacy.secagg.messages import (
    Advert,
    Confirmation,
    ConfirmRequest,
    MaskRequest,
    Receipt,
    ShareReply,
    ShareRequest,
    UnmaskReply,
    UnmaskRequest,
)

A, B, C, D = "site00", "site01", "site02", "site03"
ELSEWHERE = [
    {"round": 2},
    {"attempt": 2},
    {"study": bytes(32)},
    # The same round and attempt once more, as after a restart: other keys, so another session.
    {},
]


@pytest.fixture(params=ELSEWHERE, ids=["round", "attempt", "study", "restart"])
def sessions(request: pytest.FixtureRequest, drill: Any) -> tuple[Any, Any]:
    """A complete session elsewhere, and one here."""
    past = drill(at=request.param)
    past.run()
    return past, drill()


def replaced(items: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    return (*items[:place], item, *items[place + 1 :])


def test_adverts(sessions: tuple[Any, Any], aborts: Any) -> None:
    past, here = sessions
    requests = here.until(Phase.SHARE)
    asked = ShareRequest.decode(requests[A])
    old = Advert.decode(past.answers[Phase.ADVERTISE][B])
    request = dataclasses.replace(asked, adverts=replaced(asked.adverts, 1, old)).encode()
    if (past.round, past.attempt, past.study) != (here.round, here.attempt, here.study):
        with aborts(Phase.SHARE, "another study, roster, parameters, round or attempt", B):
            here.clients[A].share(request)
        return
    # An old advert of the same round is signed and fits; but B has forgotten its keys and works in another session.
    here.clients[A].share(request)
    here.clients[B].share(requests[B])
    envelopes = ShareReply.decode(past.answers[Phase.SHARE][B]).envelopes
    with aborts(Phase.MASK, "another session or for another site", B):
        here.clients[A].open(
            MaskRequest(
                (envelopes[0], *ShareReply.decode(here.clients[C].share(requests[C])).envelopes[:1])
            ).encode(),
            here.model,
        )


def test_envelopes(sessions: tuple[Any, Any], aborts: Any) -> None:
    past, here = sessions
    envelopes = MaskRequest.decode(here.until(Phase.MASK)[A]).envelopes
    old = MaskRequest.decode(past.requests[Phase.MASK][A]).envelopes
    with aborts(Phase.MASK, "another session or for another site", C):
        here.clients[A].open(MaskRequest(replaced(envelopes, 1, old[1])).encode(), here.model)


def test_receipts(sessions: tuple[Any, Any], aborts: Any) -> None:
    past, here = sessions
    receipts = ConfirmRequest.decode(here.until(Phase.CONFIRM)[A]).receipts
    old = Receipt.decode(past.answers[Phase.MASK][C])
    with aborts(Phase.CONFIRM, "masked against another set", C):
        here.clients[A].confirm(ConfirmRequest(replaced(receipts, 2, old)).encode())


def test_confirmations(sessions: tuple[Any, Any], aborts: Any) -> None:
    past, here = sessions
    confirmations = UnmaskRequest.decode(here.until(Phase.UNMASK)[A]).confirmations
    old = Confirmation.decode(past.answers[Phase.CONFIRM][C])
    with aborts(Phase.UNMASK, "confirmed another set", C):
        here.clients[A].unmask(UnmaskRequest(replaced(confirmations, 2, old)).encode())


@pytest.mark.parametrize("phase", list(Phase))
def test_the_coordinator_leaves_out_a_site_that_replays(
    sessions: tuple[Any, Any], aborts: Any, phase: Phase
) -> None:
    past, here = sessions
    requests = here.until(phase)
    answers = {name: here.answer(name, phase, request) for name, request in requests.items()}
    asked = here.serve(phase, {**answers, B: past.answers[phase][B]})
    if phase is Phase.ADVERTISE and (past.round, past.attempt, past.study) == (1, 1, here.study):
        # An advert of the same round from before a restart fits; the site itself then refuses what was made of it.
        with aborts(Phase.SHARE, "own keys were left out or replaced"):
            here.clients[B].share(asked[B])
        return
    assert here.server.dropped.keys() == {B}
    assert f"phase {phase.value}" in here.server.dropped[B]
    assert "another" in here.server.dropped[B]


def test_a_sites_message_does_not_pass_for_another_sites(drill: Any, aborts: Any) -> None:
    """Each statement of C with B's number on it, and C's signature or B's of something else."""
    here = drill()
    here.until()
    for phase, ask, wrap, kind, words in (
        (Phase.CONFIRM, ConfirmRequest, Receipt, Phase.MASK, "did not sign"),
        (Phase.UNMASK, UnmaskRequest, Confirmation, Phase.CONFIRM, "did not sign"),
    ):
        session = drill()
        session.until(phase)
        statements = tuple(wrap.decode(session.answers[kind][name]) for name in session.names)
        posed = dataclasses.replace(statements[2], sender=1)
        with aborts(phase, words, B):
            session.answer(A, phase, ask(replaced(statements, 1, posed)).encode())
    session = drill()
    envelopes = MaskRequest.decode(session.until(Phase.MASK)[A]).envelopes
    with aborts(Phase.MASK, "did not sign", B):
        posed = dataclasses.replace(envelopes[1], sender=1)
        session.clients[A].open(MaskRequest(replaced(envelopes, 0, posed)).encode(), session.model)
    session = drill()
    request = MaskRequest.decode(session.until(Phase.MASK)[A]).envelopes
    meant_for_d = MaskRequest.decode(session.requests[Phase.MASK][D]).envelopes
    # B's envelope for D, given to A.
    with aborts(Phase.MASK, "for another site", B):
        session.clients[A].open(
            MaskRequest(replaced(request, 0, next(e for e in meant_for_d if e.sender == 1))).encode(),
            session.model,
        )


@pytest.mark.parametrize("phase", list(Phase))
def test_the_coordinator_takes_no_answer_of_one_site_for_another(drill: Any, phase: Phase) -> None:
    here = drill()
    requests = here.until(phase)
    answers = {name: here.answer(name, phase, request) for name, request in requests.items()}
    here.serve(phase, {**answers, B: answers[C]})
    assert here.server.dropped.keys() == {B}


def test_a_receipt_does_not_pass_for_a_confirmation(drill: Any) -> None:
    """Both sign the same set where nobody dropped out, so only the message's kind tells them apart."""
    session = drill()
    session.until(Phase.UNMASK)
    receipts = [Receipt.decode(session.answers[Phase.MASK][name]) for name in session.names]
    posed = tuple(Confirmation(r.session, r.sender, r.set_hash, r.signature) for r in receipts)
    assert all(p.set_hash == Confirmation.decode(session.answers[Phase.CONFIRM][A]).set_hash for p in posed)
    with pytest.raises(SecAggAborted, match="did not sign"):
        session.clients[A].unmask(UnmaskRequest(posed).encode())


def test_shares_of_another_session_open_nothing(drill: Any) -> None:
    past, here = drill(), drill()
    past.run()
    here.until(Phase.UNMASK)
    replies = {
        name: UnmaskReply(
            here.session(), number, UnmaskReply.decode(past.answers[Phase.UNMASK][name]).shares
        ).encode()
        for number, name in enumerate(here.names)
    }
    with pytest.raises(SecAggAborted, match="valid shares came for"):
        here.serve(Phase.UNMASK, replies)


def test_a_session_cannot_be_used_again_after_it_ended(drill: Any) -> None:
    session = drill()
    session.run()
    for phase in Phase:
        with pytest.raises(SecAggAborted):
            session.answer(A, phase, session.requests[phase][A])
    with pytest.raises(SecAggAborted, match="there is no sum to open"):
        session.serve(Phase.UNMASK, session.answers[Phase.UNMASK])
