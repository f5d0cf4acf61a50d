"""What a coordinator that breaks the protocol can try, each refused by the sites with the reason."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedgen_privacy.errors import StudyError
from fedgen_privacy.secagg import Client, Identity, Phase, Roster, SecAggAborted, Server
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


def own_key(advert: Advert) -> Advert:
    """The advert with mask and channel keys whose private halves the coordinator knows."""
    public = [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(2)]
    return dataclasses.replace(advert, mask_key=public[0], channel_key=public[1])


# Keys -------------------------------------------------------------------------------------------------------------


def test_keys_substituted_by_the_coordinator_are_refused(drill: Any, aborts: Any, is_over: Any) -> None:
    session = drill()
    requests = session.until(Phase.SHARE)
    asked = ShareRequest.decode(requests[A])
    # Flower's weakness 2: the keys of all peers replaced, the site's own entry left alone.
    swapped = (asked.adverts[0], *map(own_key, asked.adverts[1:]))
    with aborts(Phase.SHARE, "did not sign", B):
        session.clients[A].share(dataclasses.replace(asked, adverts=swapped).encode())
    assert is_over(session.clients[A])


@pytest.mark.parametrize("signer", ["a stranger", "another site of the roster"])
def test_keys_signed_by_somebody_else_are_refused(drill: Any, aborts: Any, signer: str) -> None:
    session = drill()
    requests = session.until(Phase.SHARE)
    asked = ShareRequest.decode(requests[A])
    identity = Identity.generate("x") if signer == "a stranger" else session.identities[C]
    forged = own_key(asked.adverts[1])
    forged = dataclasses.replace(forged, signature=identity.sign(forged.signed()))
    adverts = (asked.adverts[0], forged, *asked.adverts[2:])
    with aborts(Phase.SHARE, "did not sign", B):
        session.clients[A].share(dataclasses.replace(asked, adverts=adverts).encode())


def test_a_sites_own_keys_cannot_be_replaced_or_left_out(drill: Any, aborts: Any) -> None:
    # Even validly signed: the coordinator replays the advert of the same site from before its restart.
    before = drill()
    before.until(Phase.SHARE)
    for replaced in (True, False):
        session = drill()
        asked = ShareRequest.decode(session.until(Phase.SHARE)[A])
        old = Advert.decode(before.answers[Phase.ADVERTISE][A])
        adverts = ((old,) if replaced else ()) + asked.adverts[1:]
        with aborts(Phase.SHARE, "own keys were left out or replaced"):
            session.clients[A].share(dataclasses.replace(asked, adverts=adverts).encode())


def test_a_site_from_outside_the_roster_is_refused(drill: Any, aborts: Any) -> None:
    session = drill()
    asked = ShareRequest.decode(session.until(Phase.SHARE)[A])
    stranger = Identity.generate("x")
    ghost = dataclasses.replace(own_key(asked.adverts[-1]), site=4)
    ghost = dataclasses.replace(ghost, signature=stranger.sign(ghost.signed()))
    with aborts(Phase.SHARE, "did not sign"):
        session.clients[A].share(dataclasses.replace(asked, adverts=(*asked.adverts, ghost)).encode())


@pytest.mark.parametrize("order", [(0, 1, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3)])
def test_a_site_listed_twice_or_out_of_order_is_refused(drill: Any, aborts: Any, order: tuple[int]) -> None:
    session = drill()
    asked = ShareRequest.decode(session.until(Phase.SHARE)[A])
    adverts = tuple(asked.adverts[k] for k in order)
    with aborts(Phase.SHARE, "twice or out of order"):
        session.clients[A].share(dataclasses.replace(asked, adverts=adverts).encode())


def test_too_few_keys_are_refused_even_if_the_coordinator_goes_on(drill: Any, aborts: Any) -> None:
    session = drill()
    asked = ShareRequest.decode(session.until(Phase.SHARE)[A])
    with aborts(Phase.SHARE, "2 sites are fewer than the 3"):
        session.clients[A].share(dataclasses.replace(asked, adverts=asked.adverts[:2]).encode())


def test_two_sites_with_one_key_are_refused(drill: Any, aborts: Any) -> None:
    for own in ("mask_key", "channel_key"):
        session = drill()
        asked = ShareRequest.decode(session.until(Phase.SHARE)[A])
        copied = dataclasses.replace(asked.adverts[1], **{own: asked.adverts[2].mask_key})
        copied = dataclasses.replace(copied, signature=session.identities[B].sign(copied.signed()))
        adverts = (asked.adverts[0], copied, *asked.adverts[2:])
        with aborts(Phase.SHARE, "two sites have the same key"):
            session.clients[A].share(dataclasses.replace(asked, adverts=adverts).encode())


# Different stories for different sites ------------------------------------------------------------------------------


def test_different_models_sent_to_different_sites_make_different_sessions(drill: Any, aborts: Any) -> None:
    session = drill()
    requests = session.until(Phase.SHARE)
    other = bytes(32)
    asked = ShareRequest.decode(requests[A])
    replies = {A: session.clients[A].share(dataclasses.replace(asked, model=other).encode())}
    replies |= {name: session.clients[name].share(requests[name]) for name in (B, C, D)}
    # The honest coordinator's own check notices the odd one out ...
    masks = session.serve(Phase.SHARE, replies)
    assert A not in masks
    assert "another session" in session.server.dropped[A]
    # ... and one that goes on is refused by every site, whichever model it was shown.
    dealt = {name: ShareReply.decode(reply).envelopes for name, reply in replies.items()}
    for number, name in enumerate((A, B)):
        envelopes = tuple(
            e for sender in (A, B, C, D) if sender != name for e in dealt[sender] if e.recipient == number
        )
        model = other if name == A else session.model
        with aborts(Phase.MASK, "another session", B if name == A else A):
            session.clients[name].open(MaskRequest(envelopes).encode(), model)


def test_another_model_than_the_sessions_is_refused_before_training(
    drill: Any, aborts: Any, is_over: Any
) -> None:
    session = drill()
    requests = session.until(Phase.MASK)
    with aborts(Phase.MASK, "the model that came is not the one"):
        session.clients[A].open(requests[A], bytes(32))
    assert is_over(session.clients[A])


def test_different_nonces_make_different_sessions(drill: Any, aborts: Any) -> None:
    session = drill()
    requests = session.until(Phase.SHARE)
    odd = dataclasses.replace(ShareRequest.decode(requests[A]), nonce=bytes(32)).encode()
    replies = {name: session.clients[name].share(requests[name]) for name in (B, C, D)}
    session.clients[A].share(odd)
    dealt = [ShareReply.decode(reply).envelopes for reply in replies.values()]
    envelopes = tuple(envelope for sent in dealt for envelope in sent if envelope.recipient == 0)
    with aborts(Phase.MASK, "another session", B):
        session.clients[A].open(MaskRequest(envelopes).encode(), session.model)


def test_different_participants_shown_at_mask_are_noticed_at_confirm(drill: Any, aborts: Any) -> None:
    session = drill()
    requests = session.until(Phase.MASK)
    # One envelope is kept from site A: it masks against B and C only, the others against everybody.
    fewer = MaskRequest(MaskRequest.decode(requests[A]).envelopes[:2]).encode()
    receipts = {
        name: Receipt.decode(session.answer(name, Phase.MASK, fewer if name == A else requests[name]))
        for name in (A, B, C, D)
    }
    asked = ConfirmRequest(tuple(receipts[name] for name in (A, B, C))).encode()
    with aborts(Phase.CONFIRM, "masked against another set", B):
        session.clients[A].confirm(asked)
    with aborts(Phase.CONFIRM, "masked against another set", A):
        session.clients[B].confirm(asked)
    # The honest coordinator leaves A out by itself.
    for name in (A, B, C, D):
        session.server.add(name, receipts[name].encode(), session.uploads[name])
    assert session.server.survivors == (B, C, D)


def confirm_with(session: Any, name: str, survivors: tuple[str, ...]) -> bytes:
    """A site's confirmation of these survivors."""
    receipts = tuple(Receipt.decode(session.answers[Phase.MASK][s]) for s in sorted(survivors))
    return session.clients[name].confirm(ConfirmRequest(receipts).encode())


def test_different_survivors_shown_to_different_sites_open_nothing(drill: Any, aborts: Any) -> None:
    session = drill()
    session.until(Phase.CONFIRM)
    confirmed = {name: Confirmation.decode(confirm_with(session, name, (A, B, C, D))) for name in (A, B)}
    confirmed |= {name: Confirmation.decode(confirm_with(session, name, (A, C, D))) for name in (C, D)}
    mixed = UnmaskRequest(tuple(confirmed[name] for name in (A, B, C, D))).encode()
    with aborts(Phase.UNMASK, "confirmed another set", C):
        session.clients[A].unmask(mixed)
    with aborts(Phase.UNMASK, "not part of the session"):
        # B is not among the survivors that C was shown.
        session.clients[C].unmask(mixed)
    with aborts(Phase.UNMASK, "2 sites confirmed the sum, fewer than 3"):
        session.clients[B].unmask(UnmaskRequest((confirmed[A], confirmed[B])).encode())


def test_a_site_among_both_survivors_and_dropped_is_never_opened(drill: Any) -> None:
    """All ways to tell each of five sites one of two stories about a victim, with t = 4 and with t = 3."""
    names = [f"site{k:02d}" for k in range(5)]
    victim, others = 4, names[:4]
    for threshold in (3, 4):
        for alive in itertools.product([True, False], repeat=4):
            session = drill(5, threshold=threshold)
            session.until(Phase.CONFIRM)
            stories = {
                name: tuple(names) if told else tuple(others)
                for name, told in zip(others, alive, strict=True)
            }
            stories[names[victim]] = tuple(names)
            signed = {
                name: Confirmation.decode(confirm_with(session, name, story))
                for name, story in stories.items()
            }
            shares: dict[bool, set[str]] = {True: set(), False: set()}
            for name, story in stories.items():
                asked = tuple(signed[n] for n in sorted(signed) if stories[n] == story)
                try:
                    reply = UnmaskReply.decode(session.clients[name].unmask(UnmaskRequest(asked).encode()))
                except SecAggAborted:
                    continue
                assert victim in dict(reply.shares)
                shares[len(story) == 5].add(name)
            assert min(len(found) for found in shares.values()) < threshold
            assert len(shares[True]) + len(shares[False]) <= 5


def test_the_victim_itself_never_gives_shares_of_its_own_key(drill: Any, aborts: Any) -> None:
    session = drill()
    session.until(Phase.CONFIRM)
    with aborts(Phase.CONFIRM, "own vector is not among"):
        confirm_with(session, D, (A, B, C))


def test_a_second_story_to_the_same_site_is_refused(drill: Any, aborts: Any, is_over: Any) -> None:
    session = drill()
    session.until(Phase.CONFIRM)
    confirm_with(session, A, (A, B, C, D))
    with aborts(Phase.CONFIRM, "again or out of order"):
        confirm_with(session, A, (A, B, C))
    assert is_over(session.clients[A])


def test_a_second_unmask_is_refused(drill: Any, aborts: Any, is_over: Any) -> None:
    session = drill()
    requests = session.until(Phase.UNMASK)
    session.clients[A].unmask(requests[A])
    with aborts(Phase.UNMASK, "again or out of order"):
        session.clients[A].unmask(requests[A])
    assert is_over(session.clients[A])


# Cohorts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sites", "least", "threshold", "colluders"),
    [(4, 3, 3, 0), (5, 3, 4, 1), (6, 3, 5, 2), (6, 3, 6, 3), (6, 5, 4, 0), (7, 5, 5, 1), (8, 4, 6, 3)],
)
def test_fewer_survivors_than_honest_ones_and_colluders_are_refused(
    drill: Any, aborts: Any, sites: int, least: int, threshold: int, colluders: int
) -> None:
    """A sum over fewer than n_min + c vectors may have fewer than n_min honest ones: all but one could collude."""
    session = drill(sites, minimum_sites=least, threshold=threshold, colluders=colluders)
    session.until(Phase.CONFIRM)
    needed = max(threshold, least + colluders)
    with aborts(Phase.CONFIRM, f"{needed - 1} sites are fewer than the {needed}"):
        confirm_with(session, A, tuple(session.names[: needed - 1]))
    confirm_with(session, B, tuple(session.names[:needed]))


@pytest.mark.parametrize("fault", ["twice", "out of order", "from itself", "from a site without keys"])
def test_shares_that_are_not_one_from_each_site_are_refused(drill: Any, aborts: Any, fault: str) -> None:
    session = drill(5, threshold=3)
    requests = session.until(Phase.SHARE)
    asked = ShareRequest.decode(requests[A])
    # Site 04 has a place in the roster, and no part in this session.
    request = dataclasses.replace(asked, adverts=asked.adverts[:4]).encode()
    dealt = [ShareReply.decode(session.clients[name].share(request)).envelopes for name in (A, B, C, D)]
    b, c, d = (next(e for e in sent if e.recipient == 0) for sent in dealt[1:])
    own, stranger = dataclasses.replace(b, sender=0), dataclasses.replace(d, sender=4)
    own = dataclasses.replace(own, signature=session.identities[A].sign(own.signed()))
    stranger = dataclasses.replace(stranger, signature=session.identities["site04"].sign(stranger.signed()))
    envelopes = {
        "twice": (b, c, c, d),
        "out of order": (c, b, d),
        "from itself": (own, b, c, d),
        "from a site without keys": (b, c, d, stranger),
    }[fault]
    with aborts(Phase.MASK, "not one from each of the sites that advertised"):
        session.clients[A].open(MaskRequest(envelopes).encode(), session.model)
    session.clients[B].open(
        MaskRequest(tuple(e for k in (0, 2, 3) for e in dealt[k] if e.recipient == 1)).encode(), session.model
    )


def test_too_few_participants_are_refused_before_masking(drill: Any, aborts: Any) -> None:
    session = drill(5, colluders=1, threshold=4)
    requests = session.until(Phase.MASK)
    with aborts(Phase.MASK, "3 sites are fewer than the 4"):
        session.clients[A].open(
            MaskRequest(MaskRequest.decode(requests[A]).envelopes[:2]).encode(), session.model
        )


@pytest.mark.parametrize(
    "change",
    [
        {"minimum_sites": 2},
        {"minimum_sites": 1, "threshold": 3},
        {"threshold": 2},
        {"threshold": 1},
        {"colluders": 2},
        {"minimum_sites": 5},
        {"colluders": -1},
        {"threshold": 5},
    ],
)
def test_parameters_that_allow_a_smaller_cohort_never_start(
    drill: Any, parameters: Any, change: dict[str, int]
) -> None:
    with pytest.raises(StudyError):
        drill(4, **change)
    with pytest.raises(StudyError):
        parameters(**change).check(4)


# Parameters of the coordinator's choice ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chosen",
    [
        {"ring_bits": 16},
        {"bound": 1e-9},
        {"threshold": 4},
        {"weight_cap": 1},
        {"length": 4},
        {"metrics": 0},
        {"minimum_sites": 4},
        {"colluders": 1},
    ],
    ids=str,
)
def test_parameters_chosen_by_the_coordinator_find_no_site(
    drill: Any, parameters: Any, aborts: Any, chosen: dict[str, Any]
) -> None:
    session = drill(5, threshold=4)
    adverts = {name: session.clients[name].advertise() for name in session.names}
    server = Server(
        session.roster,
        parameters(**{"threshold": 4, **chosen, **({"threshold": 5} if "threshold" in chosen else {})}),
        session.study,
        1,
        1,
        session.model,
    )
    with aborts(Phase.ADVERTISE, "another study, roster, parameters", *session.names):
        server.share_requests(adverts)


@pytest.mark.parametrize(
    "chosen", [{"ring_bits": 16}, {"bound": 2.0}, {"threshold": 4}, {"weight_cap": 15}], ids=str
)
def test_a_site_that_approved_other_parameters_is_named(
    drill: Any, aborts: Any, chosen: dict[str, Any]
) -> None:
    session = drill()
    session.clients[C] = session.client(C, parameters=dataclasses.replace(session.parameters, **chosen))
    adverts = [Advert.decode(session.clients[name].advertise()) for name in session.names]
    for name, named in ((A, C), (C, A)):
        with aborts(Phase.SHARE, "another study, roster, parameters", named):
            session.clients[name].share(ShareRequest(session.model, bytes(32), tuple(adverts)).encode())


def test_another_roster_is_another_session(drill: Any, aborts: Any) -> None:
    session = drill()
    keys = dict(zip(session.roster.sites, session.roster.keys, strict=True))
    grown = Roster({**keys, "site04": Identity.generate("site04").public_key})
    session.clients[C] = Client(session.identities[C], grown, session.parameters, session.study, 1, 1)
    adverts = tuple(Advert.decode(session.clients[name].advertise()) for name in session.names)
    with aborts(Phase.SHARE, "another study, roster", C):
        session.clients[A].share(ShareRequest(session.model, bytes(32), adverts).encode())


def test_no_message_can_carry_a_threshold_a_bound_or_a_modulus(drill: Any) -> None:
    """What a site is asked has room for keys, hashes, shares and signatures, and for nothing it would obey."""
    session = drill(4)
    session.until()
    sizes = {phase: {len(r) for r in requests.values()} for phase, requests in session.requests.items()}
    advert, envelope, signed = (
        6 + 32 + 4 + 2 + 2 + 3 * 32 + 64,
        6 + 32 + 4 + 96 + 82 + 64,
        6 + 32 + 2 + 32 + 64,
    )
    assert sizes[Phase.SHARE] == {6 + 64 + 2 + 4 * (4 + advert)}
    assert sizes[Phase.MASK] == {6 + 2 + 3 * (4 + envelope)}
    assert sizes[Phase.CONFIRM] == sizes[Phase.UNMASK] == {6 + 2 + 4 * (4 + signed)}
