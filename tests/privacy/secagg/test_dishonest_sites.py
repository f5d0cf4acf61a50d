"""What a site that breaks the protocol can try: it is named where the protocol can tell, and never changes a sum."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedgen_privacy.secagg import Phase, SecAggAborted, shamir
from fedgen_privacy.secagg.messages import (
    Advert,
    Envelope,
    MaskRequest,
    ShareReply,
    ShareRequest,
    UnmaskReply,
)

A, B, C, D = "site00", "site01", "site02", "site03"
P = 2**255 - 19
#: Points of small order on Curve25519 and its twist, and encodings of them that are not reduced (RFC 7748, section 7).
LOW_ORDER = [
    value.to_bytes(32, "little")
    for value in (
        0,
        1,
        P - 1,
        P,
        P + 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
]


def resigned(session: Any, name: str, envelope: Envelope, **changes: bytes) -> Envelope:
    """An envelope of this site with other contents, under its own valid signature."""
    forged = dataclasses.replace(envelope, **changes)
    return dataclasses.replace(forged, signature=session.identities[name].sign(forged.signed()))


# Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", LOW_ORDER, ids=range(len(LOW_ORDER)))
@pytest.mark.parametrize("which", ["mask_key", "channel_key"])
def test_points_of_low_order_are_refused_and_their_site_named(
    drill: Any, aborts: Any, secrets_in: Any, point: bytes, which: str
) -> None:
    session = drill()
    session.until(Phase.SHARE)
    adverts = dict(session.answers[Phase.ADVERTISE])
    bad = dataclasses.replace(Advert.decode(adverts[C]), **{which: point})
    bad = dataclasses.replace(bad, signature=session.identities[C].sign(bad.signed()))
    # The coordinator leaves the site out and goes on ...
    honest = drill()
    requests = honest.until(Phase.ADVERTISE)
    answers = {name: honest.answer(name, Phase.ADVERTISE, requests[name]) for name in (A, B, D)}
    assert C not in honest.serve(Phase.ADVERTISE, {**answers, C: bad.encode()})
    assert honest.server.dropped == {C: "phase advertise: sent a key that gives no secret"}
    # ... and where it does not, no site goes on.
    everyone = tuple(bad if name == C else Advert.decode(adverts[name]) for name in session.names)
    request = ShareRequest(session.model, bytes(32), everyone).encode()
    with aborts(Phase.SHARE, f"{which.replace('_', ' ')} is not usable", C):
        session.clients[A].share(request)
    assert not secrets_in(session.clients[A])


# Dealing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed_share_commitment": bytes(32)}, "not those their site committed to"),
        ({"key_share_commitment": bytes(32)}, "not those their site committed to"),
        ({"ciphertext": bytes(82)}, "could not be opened"),
    ],
)
def test_shares_that_do_not_fit_are_refused_and_their_dealer_named(
    drill: Any, aborts: Any, secrets_in: Any, changes: dict[str, bytes], reason: str
) -> None:
    session = drill()
    envelopes = MaskRequest.decode(session.until(Phase.MASK)[A]).envelopes
    bad = resigned(session, B, envelopes[0], **changes)
    with aborts(Phase.MASK, reason, B):
        session.clients[A].open(MaskRequest((bad, *envelopes[1:])).encode(), session.model)
    assert not secrets_in(session.clients[A])


def test_every_corrupted_byte_of_an_envelope_is_noticed(drill: Any) -> None:
    source = drill()
    request = source.until(Phase.MASK)[A]
    client = source.clients[A]
    first = 6 + 2 + 4
    envelope = request[first : first + 284]
    assert Envelope.decode(envelope).sender == 1
    for place in range(len(envelope)):
        # The same site in the same session, once more: its state is put back after each refusal.
        saved = dict(vars(client))
        kept = {"_done": list(client._done), "_held": dict(client._held), "_seed": bytearray(client._seed)}
        kept["_held"] = {k: (bytearray(a), bytearray(b)) for k, (a, b) in client._held.items()}
        damaged = bytearray(request)
        damaged[first + place] ^= 1 << place % 8
        with pytest.raises(SecAggAborted) as caught:
            client.open(bytes(damaged), source.model)
        assert caught.value.phase is Phase.MASK
        vars(client).update({**saved, **kept})
    client.open(request, source.model)


def wrong_sharing(call: int) -> Callable[[bytes, int, int], list[bytes]]:
    """A dealer's `split` whose first (seed) or second (key) secret is shared along a curve of too high a degree."""
    calls = iter(range(2))

    def split(secret: bytes, threshold: int, points: int) -> list[bytes]:
        return shamir.split(secret, threshold if next(calls) != call else points, points)

    return split


@pytest.mark.parametrize("dropped", [False, True], ids=["of a seed", "of a key"])
def test_a_dealer_of_inconsistent_shares_is_named(
    drill: Any, aborts: Any, monkeypatch: pytest.MonkeyPatch, dropped: bool
) -> None:
    session = drill(5, threshold=3, at={"silent": {B: Phase.MASK}} if dropped else None)
    requests = session.until(Phase.SHARE)
    replies = {}
    for name in session.names:
        with monkeypatch.context() as patch:
            if name == B:
                patch.setattr("fedgen_privacy.secagg.sharing.shamir", FakeShamir(wrong_sharing(int(dropped))))
            replies[name] = session.answer(name, Phase.SHARE, requests[name])
    session.answers[Phase.SHARE] = replies
    requests = session.serve(Phase.SHARE, replies)
    for phase in (Phase.MASK, Phase.CONFIRM):
        answers = {
            name: session.answer(name, phase, requests[name])
            for name in session.names
            if name != B or not dropped
        }
        requests = session.serve(phase, answers)
    answers = {name: session.answer(name, Phase.UNMASK, request) for name, request in requests.items()}
    with aborts(Phase.UNMASK, f"shares that {B} dealt do not give the secret", B):
        session.serve(Phase.UNMASK, answers)


class FakeShamir:
    """The module with another `split`."""

    def __init__(self, split: Callable[[bytes, int, int], list[bytes]]) -> None:
        self.split = split


def test_a_commitment_to_another_seed_than_the_shared_one_is_named(drill: Any, aborts: Any) -> None:
    session = drill()
    requests = session.until(Phase.SHARE)
    replies = {name: session.answer(name, Phase.SHARE, requests[name]) for name in session.names}
    bad = tuple(
        resigned(session, B, envelope, seed_commitment=bytes(32))
        for envelope in ShareReply.decode(replies[B]).envelopes
    )
    replies[B] = ShareReply(bad).encode()
    requests = session.serve(Phase.SHARE, replies)
    for phase in (Phase.MASK, Phase.CONFIRM):
        requests = session.serve(phase, {n: session.answer(n, phase, r) for n, r in requests.items()})
    answers = {name: session.answer(name, Phase.UNMASK, request) for name, request in requests.items()}
    with aborts(Phase.UNMASK, "do not give the secret it committed to", B):
        session.serve(Phase.UNMASK, answers)


@pytest.mark.parametrize(
    "fault", ["different seeds", "one missing", "one twice", "unsigned", "another sender"]
)
def test_a_dealing_that_is_not_whole_is_left_out_by_the_coordinator(drill: Any, fault: str) -> None:
    session = drill()
    requests = session.until(Phase.SHARE)
    replies = {name: session.answer(name, Phase.SHARE, requests[name]) for name in session.names}
    sent = ShareReply.decode(replies[B]).envelopes
    bad, reason = {
        "different seeds": (
            (resigned(session, B, sent[0], seed_commitment=bytes(32)), *sent[1:]),
            "different seeds before different sites",
        ),
        "one missing": (sent[:-1], "shares for each of the other sites"),
        "one twice": ((*sent, sent[-1]), "shares for each of the other sites"),
        "unsigned": ((*sent[:-1], dataclasses.replace(sent[-1], signature=bytes(64))), "did not sign"),
        "another sender": ((*sent[:-1], dataclasses.replace(sent[-1], sender=3)), "another session or site"),
    }[fault]
    requests = session.serve(Phase.SHARE, {**replies, B: ShareReply(bad).encode()})
    assert sorted(requests) == [A, C, D]
    assert list(session.server.dropped) == [B]
    assert reason in session.server.dropped[B]


@pytest.mark.parametrize("phase", [Phase.MASK, Phase.CONFIRM])
def test_an_unsigned_statement_is_left_out_by_the_coordinator(drill: Any, phase: Phase) -> None:
    session = drill()
    requests = session.until(phase)
    answers = {name: session.answer(name, phase, request) for name, request in requests.items()}
    asked = session.serve(phase, {**answers, B: answers[B][:-64] + bytes(64)})
    assert sorted(asked) == [A, C, D]
    assert session.server.dropped == {B: f"phase {phase.value}: did not sign what it said"}
    # An unsigned receipt keeps its vector out of the sum; an unsigned confirmation comes too late for that.
    assert (B in session.server.survivors) is (phase is Phase.CONFIRM)


# Opening ------------------------------------------------------------------------------------------------------------


def lie(session: Any, reply: bytes, about: int | None, how: str) -> bytes:
    """An UNMASK answer with another share of one site, or of all."""
    told = UnmaskReply.decode(reply)
    shares = []
    for owner, share in told.shares:
        if about is not None and owner != about:
            shares.append((owner, share))
        elif how == "random":
            shares.append((owner, secrets.token_bytes(33)))
        elif how == "last bit":
            shares.append((owner, share[:-1] + bytes([share[-1] ^ 1])))
    return dataclasses.replace(told, shares=tuple(shares)).encode()


@pytest.mark.parametrize("how", ["random", "last bit", "left out"])
@pytest.mark.parametrize("about", [None, 0, 2, 4])
def test_a_liar_at_unmask_is_recorded_and_changes_nothing(drill: Any, about: int | None, how: str) -> None:
    """Site 04 dropped out, so shares of seeds and of a key are among those asked for."""
    session = drill(6, threshold=4, at={"silent": {"site04": Phase.MASK}})
    requests = session.until(Phase.UNMASK)
    answers = {name: session.answer(name, Phase.UNMASK, request) for name, request in requests.items()}
    answers[B] = lie(session, answers[B], about, how)
    session.serve(Phase.UNMASK, answers)
    survivors = [n for n in session.names if n != "site04"]
    lanes = sum(session.encoded(name)[0] for name in survivors)
    weight = sum(session.contributions[name].weight for name in survivors)
    scale = 16 / (session.parameters.levels(6) * weight)
    np.testing.assert_array_max_ulp(session.total.mean, (lanes * scale).astype(np.float32), maxulp=1)
    assert session.total.weight == weight
    assert session.server.dropped.keys() == {"site04", B}
    assert session.server.dropped[B] == "phase unmask: sent a share that is not the one dealt to it"
    # Its vector is in the sum all the same.
    assert B in session.server.survivors


def test_liars_at_unmask_without_enough_others_are_named(drill: Any, aborts: Any) -> None:
    session = drill(6, threshold=4)
    requests = session.until(Phase.UNMASK)
    answers = {name: session.answer(name, Phase.UNMASK, request) for name, request in requests.items()}
    for liar in (B, C, D):
        answers[liar] = lie(session, answers[liar], 5, "last bit")
    with aborts(Phase.UNMASK, "3 valid shares came for site05, fewer than 4", B, C, D):
        session.serve(Phase.UNMASK, answers)
    assert session.total is None
    with pytest.raises(SecAggAborted, match="there is no sum"):
        session.serve(Phase.UNMASK, answers)


def test_a_lie_about_the_own_seed_is_harmless_with_others_and_named_without(drill: Any, aborts: Any) -> None:
    """The share of its own seed that a site keeps is the only one nobody else holds a commitment to."""
    for threshold, named in ((3, False), (4, True)):
        session = drill(4, threshold=threshold)
        requests = session.until(Phase.UNMASK)
        answers = {name: session.answer(name, Phase.UNMASK, request) for name, request in requests.items()}
        answers[C] = lie(session, answers[C], 2, "random")
        if named:
            with aborts(Phase.UNMASK, "its own share is not the one it dealt", C):
                session.serve(Phase.UNMASK, answers)
        else:
            session.serve(Phase.UNMASK, answers)
            assert session.total.weight == sum(c.weight for c in session.contributions.values())


# Vectors ------------------------------------------------------------------------------------------------------------


def test_vectors_of_another_shape_type_or_number_are_left_out(drill: Any) -> None:
    def other(words: Any) -> dict[str, Any]:
        wide = np.zeros((len(words), 2), np.uint32)
        return {
            "shorter": words[:-1],
            "longer": np.append(words, np.uint32(0)),
            "signed": words.view(np.int32),
            "wide": words.astype(np.uint64),
            "floats": words.view(np.float32),
            "two axes": words[None],
            "big-endian": words.astype(">u4"),
            "strided": wide[:, 0],
        }

    for fault in other(np.zeros(3, np.uint32)):
        session = drill()
        requests = session.until(Phase.MASK)
        receipts = {name: session.answer(name, Phase.MASK, request) for name, request in requests.items()}
        session.uploads[B] = other(session.uploads[B])[fault]
        before = session.server._sum.copy()
        session.server.add(B, receipts[B], session.uploads[B])
        np.testing.assert_array_equal(session.server._sum, before)
        assert "sent a vector of" in session.server.dropped[B]
        assert "instead of" in session.server.dropped[B]
        assert session.server.survivors == ()


def test_a_second_or_late_vector_is_not_added(drill: Any) -> None:
    session = drill()
    requests = session.until(Phase.MASK)
    receipts = {name: session.answer(name, Phase.MASK, request) for name, request in requests.items()}
    for name in (A, A, B, C):
        session.server.add(name, receipts[name], session.uploads[name])
    assert "a second vector" in session.server.dropped[A]
    asked = session.server.confirm_requests()
    before = session.server._sum.copy()
    session.server.add(D, receipts[D], session.uploads[D])
    np.testing.assert_array_equal(session.server._sum, before)
    assert "after the sum was closed" in session.server.dropped[D]
    requests = session.serve(
        Phase.CONFIRM, {n: session.answer(n, Phase.CONFIRM, r) for n, r in asked.items()}
    )
    session.serve(Phase.UNMASK, {n: session.answer(n, Phase.UNMASK, r) for n, r in requests.items()})
    assert session.server.survivors == (A, B, C)
    assert session.total.weight == sum(session.contributions[name].weight for name in (A, B, C))


def test_a_vector_before_any_was_asked_for_ends_the_session(drill: Any, aborts: Any) -> None:
    session = drill()
    session.until(Phase.SHARE)
    with aborts(Phase.MASK, "before any was asked for", A):
        session.server.add(A, b"", np.zeros(1, np.uint32))


@pytest.mark.parametrize("ring_bits", [16, 32])
def test_one_garbage_vector_is_noticed_and_nobody_blamed(drill: Any, aborts: Any, ring_bits: int) -> None:
    for seed in range(20):
        session = drill(at={}, ring_bits=ring_bits, length=3)
        requests = session.until(Phase.MASK)
        receipts = {name: session.answer(name, Phase.MASK, request) for name, request in requests.items()}
        words = session.uploads[B]
        session.uploads[B] = np.random.default_rng(seed).integers(0, 2**32, len(words), dtype=np.uint32)
        requests = session.serve(Phase.MASK, receipts)
        requests = session.serve(
            Phase.CONFIRM, {n: session.answer(n, Phase.CONFIRM, r) for n, r in requests.items()}
        )
        with aborts(Phase.UNMASK, "somebody sent another vector than the protocol's"):
            session.serve(Phase.UNMASK, {n: session.answer(n, Phase.UNMASK, r) for n, r in requests.items()})
        assert session.total is None
