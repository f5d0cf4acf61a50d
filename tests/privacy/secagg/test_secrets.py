"""A client keeps no secret longer than it needs it, and shows none."""

from __future__ import annotations

import gc
import traceback
from typing import Any

import numpy as np
import pytest

from fedgen_privacy.secagg import Identity, Phase, SecAggAborted

A = "site00"


def secret_bytes(client: Any) -> list[bytes]:
    """Copies of everything that a client must not show: keys, seed, shares of others."""
    found = [bytes(client._seed)]
    found += [key.private_bytes_raw() for key in (client._mask_key, client._channel_key) if key is not None]
    found += [bytes(share) for pair in client._held.values() for share in pair]
    return [secret for secret in found if any(secret)]


def reachable(client: Any) -> set[bytes]:
    """Every byte string that the client's own values lead to."""
    found: set[bytes] = set()
    seen: set[int] = set()
    todo: list[Any] = [vars(client)]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, type | Identity):
            continue
        seen.add(id(value))
        if isinstance(value, bytes | bytearray):
            found.add(bytes(value))
        todo += gc.get_referents(value)
    return found


@pytest.mark.parametrize("phase", list(Phase)[1:])
@pytest.mark.parametrize("end", ["erase", "damaged request", "out of order"])
def test_no_secret_is_left_after_the_end(drill: Any, secrets_in: Any, phase: Phase, end: str) -> None:
    session = drill()
    session.until(phase)
    client = session.clients[A]
    held = [share for pair in client._held.values() for share in pair]
    kept = secret_bytes(client)
    assert len(kept) >= 3
    assert secrets_in(client)
    if end == "erase":
        client.erase()
    else:
        with pytest.raises(SecAggAborted):
            session.answer(A, phase if end == "damaged request" else Phase.ADVERTISE, b"damaged")
    assert not secrets_in(client)
    assert not reachable(client) & set(kept)
    # The buffers were overwritten, not only forgotten.
    assert not any(any(share) for share in [*held, client._seed])


def test_a_session_that_went_well_leaves_no_secret(drill: Any, secrets_in: Any) -> None:
    session = drill()
    session.until(Phase.UNMASK)
    kept = {name: secret_bytes(session.clients[name]) for name in session.names}
    requests = session.requests[Phase.UNMASK]
    for name, client in session.clients.items():
        session.answer(name, Phase.UNMASK, requests[name])
        assert not secrets_in(client)
        assert not reachable(client) & set(kept[name])


def test_own_seed_and_keys_are_gone_once_the_vector_is_masked(drill: Any) -> None:
    session = drill()
    session.until(Phase.MASK)
    client = session.clients[A]
    kept = {
        bytes(client._seed),
        client._mask_key.private_bytes_raw(),
        client._channel_key.private_bytes_raw(),
    }
    assert all(map(any, kept))
    session.answer(A, Phase.MASK, session.requests[Phase.MASK][A])
    assert client._mask_key is None
    assert client._channel_key is None
    assert not any(client._seed)
    assert not reachable(client) & kept


@pytest.mark.parametrize("fault", ["nan", "weight", "metrics", "length"])
def test_an_update_that_cannot_be_sent_leaves_no_secret(drill: Any, secrets_in: Any, fault: str) -> None:
    session = drill()
    session.until(Phase.MASK)
    client = session.clients[A]
    client.open(session.requests[Phase.MASK][A], session.model)
    vector = np.full(4 if fault == "length" else 5, np.nan if fault == "nan" else 0.0, np.float32)
    with pytest.raises(SecAggAborted) as caught:
        client.mask(vector, 17 if fault == "weight" else 1, (0.0,) if fault == "metrics" else (0.0, 0.0))
    assert caught.value.sites == (A,)
    assert not secrets_in(client)


def test_an_unforeseen_error_leaves_no_secret(
    drill: Any, secrets_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = drill()
    request = session.until(Phase.SHARE)[A]
    with monkeypatch.context() as patch:
        patch.setattr("fedgen_privacy.secagg.sharing.shamir.split", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            session.clients[A].share(request)
    assert not secrets_in(session.clients[A])


def test_nothing_printed_shows_a_secret(drill: Any) -> None:
    session = drill()
    requests = session.until(Phase.CONFIRM)
    client, identity = session.clients[A], session.identities[A]
    kept = [*secret_bytes(client), identity.private_bytes(), session.seeds[A], session.privates[A]]
    with pytest.raises(SecAggAborted) as caught:
        client.confirm(requests[A][:-1])
    error = caught.value
    shown = [
        f(x) for f in (str, repr) for x in (client, identity, error, error.args, session.server, vars(error))
    ]
    shown += ["".join(traceback.format_exception(error))]
    for text in shown:
        for secret in kept:
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text
            assert str(int.from_bytes(secret, "big")) not in text


def test_sessions_and_identities_cannot_be_pickled(drill: Any) -> None:
    """What cannot be pickled is not carried between processes, nor written down, by accident."""
    import pickle

    session = drill()
    session.until(Phase.UNMASK)
    for holder in (session.clients[A], session.identities[A]):
        with pytest.raises(TypeError):
            pickle.dumps(holder)


def test_two_sessions_share_no_secret(drill: Any) -> None:
    one, two = drill(), drill()
    for session in (one, two):
        session.until(Phase.UNMASK)
    first, second = ({*s.seeds.values(), *s.privates.values(), s.session()} for s in (one, two))
    assert len(first) == len(second) == 9
    assert not first & second
