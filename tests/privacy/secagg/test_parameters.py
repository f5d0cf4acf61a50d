"""Parameters that would not protect a roster are refused; those admitted leave no way to open one site."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from fedgen_privacy.errors import StudyError
from fedgen_privacy.secagg import Identity, Roster, default_threshold
from fedgen_privacy.secagg.codec import MAX_SITES
from fedgen_privacy.secagg.parameters import session_digest


def admitted(p: Any, n: int) -> bool:
    try:
        p.check(n)
    except StudyError as error:
        assert str(error).endswith(".")
        return False
    return True


def can_open_one_site(n: int, t: int, c: int) -> bool:
    """Whether some split of the honest sites' single answers gives t shares of both secrets of one honest victim.

    The victim answers for its own seed alone, colluders answer both ways; every other honest site answers once.
    """
    others = n - c - 1
    return any(
        1 + alive + c >= t and dead + c >= t
        for alive in range(others + 1)
        for dead in range(others + 1 - alive)
    )


def test_no_admitted_parameters_let_answers_be_split(parameters: Any) -> None:
    accepted = refused = 0
    for n, t, c, least in itertools.product(range(1, 13), range(14), range(13), (3, 4, 6)):
        p = parameters(minimum_sites=least, threshold=t, colluders=c)
        if admitted(p, n):
            accepted += 1
            assert not can_open_one_site(n, t, c)
            # Colluders alone open nothing, and cannot leave fewer honest contributions than promised.
            assert c < t <= n
            assert p.needed - c >= least >= 3
            assert t <= p.needed <= n
        elif least == 3 and 3 + c <= n and 1 <= t <= n:
            # Only the threshold can be what was refused, and it was for a reason.
            refused += 1
            assert can_open_one_site(n, t, c) or can_sign_two_sets(n, t, c)
    assert accepted > 300
    assert refused > 100


def can_sign_two_sets(n: int, t: int, c: int) -> bool:
    """Whether t signatures each can be had for two different survivor sets: honest sites sign once."""
    return any(first + c >= t and (n - c - first) + c >= t for first in range(n - c + 1))


def test_no_admitted_parameters_let_two_survivor_sets_be_confirmed(parameters: Any) -> None:
    for n, t, c in itertools.product(range(3, 13), range(1, 13), range(10)):
        if admitted(parameters(threshold=t, colluders=c), n):
            assert not can_sign_two_sets(n, t, c)


def test_the_default_threshold_is_admitted_wherever_any_is(parameters: Any) -> None:
    for n, c in itertools.product(range(3, 60), range(60)):
        t = default_threshold(n, c)
        assert 1 <= t <= n
        any_is = any(admitted(parameters(threshold=k, colluders=c), n) for k in (t, n))
        assert admitted(parameters(threshold=t, colluders=c), n) is any_is is (c + 3 <= n)
    assert [default_threshold(n) for n in (3, 4, 5, 6, 8, 10, 50)] == [3, 3, 4, 5, 6, 7, 34]
    assert default_threshold(8, 5) == 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minimum_sites": 2}, "fewer than 3 sites"),
        ({"colluders": -1}, "must be 0 or more"),
        ({"colluders": 2}, "needs 5 sites, but the study has 4"),
        ({"threshold": 2}, "at least 3; tolerate"),
        ({"threshold": 5}, "needs 5 sites, but the study has 4"),
        ({"threshold": 0}, "at least 3; tolerate"),
        ({"bound": 0.0}, "bound of an update"),
        ({"bound": -1.0}, "bound of an update"),
        ({"bound": math.nan}, "bound of an update"),
        ({"bound": math.inf}, "bound of an update"),
        ({"bound": 1e-30}, "bound of an update"),
        ({"bound": 1e30}, "bound of an update"),
        ({"weight_cap": 0}, "weight cap"),
        ({"weight_cap": 2**30 + 1}, "weight cap"),
        ({"ring_bits": 8}, "16 or 32 bits"),
        ({"ring_bits": 64}, "16 or 32 bits"),
        ({"length": 0}, "more than one session can sum"),
        ({"length": 2**31 + 1}, "more than one session can sum"),
        ({"metrics": -1}, "more than one session can sum"),
        ({"metrics": 1025}, "more than one session can sum"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused_with_the_rule(
    parameters: Any, change: dict[str, Any], words: str
) -> None:
    parameters().check(4)
    with pytest.raises(StudyError, match=words):
        parameters(**change).check(4)


def test_a_ring_too_small_for_the_roster_is_refused(parameters: Any) -> None:
    for n in range(3, 1025):
        p = parameters(threshold=n, ring_bits=16)
        assert admitted(p, n) is (2**13 // n >= 128) is (n <= 64)
        assert admitted(parameters(threshold=n, ring_bits=32), n)


def test_the_ring_has_room_for_every_sum_and_two_bits_more(parameters: Any) -> None:
    for n, bits in itertools.product(range(3, 1025), (16, 32)):
        levels = parameters(ring_bits=bits).levels(n)
        assert 4 * n * levels <= 2 ** (bits - 1)
        assert 4 * n * (levels + 1) > 2 ** (bits - 1)


def test_every_parameter_and_every_entry_of_the_roster_changes_the_digest(parameters: Any) -> None:
    keys = {name: Identity.generate(name).public_key for name in ("a", "b", "c", "d")}
    seen = {session_digest(bytes(32), Roster(keys), parameters())}
    changes: list[dict[str, Any]] = [
        {"minimum_sites": 4},
        {"threshold": 4},
        {"colluders": 1},
        {"bound": 1.0 + 2**-52},
        {"weight_cap": 17},
        {"ring_bits": 16},
        {"length": 6},
        {"metrics": 3},
    ]
    seen |= {session_digest(bytes(32), Roster(keys), parameters(**change)) for change in changes}
    others = [
        {name: keys[name] for name in "abc"},
        {**keys, "e": Identity.generate("e").public_key},
        {**keys, "d": Identity.generate("d").public_key},
        {"a": keys["a"], "b": keys["b"], "c": keys["c"], "dd": keys["d"]},
        {"a": keys["b"], "b": keys["a"], "c": keys["c"], "d": keys["d"]},
    ]
    seen |= {session_digest(bytes(32), Roster(other), parameters()) for other in others}
    seen.add(session_digest(b"\1" * 32, Roster(keys), parameters()))
    assert len(seen) == 1 + len(changes) + len(others) + 1
    # Not by the order in which the roster was written down.
    assert session_digest(bytes(32), Roster(dict(reversed(keys.items()))), parameters()) in seen


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"": bytes(32)},
        {"a": bytes(31)},
        {"a": bytes(33)},
        {"a" * 129: bytes(32)},
        {"ü" * 65: bytes(32)},
        {"a": bytes(32), "b": bytes(32)},
        {str(k): k.to_bytes(32, "big") for k in range(MAX_SITES + 1)},
    ],
    ids=range(8),
)
def test_a_roster_that_cannot_be_is_refused(keys: dict[str, bytes]) -> None:
    with pytest.raises(StudyError):
        Roster(keys)


def test_a_roster_verifies_its_own_sites_alone() -> None:
    sites = {name: Identity.generate(name) for name in "ab"}
    roster = Roster({name: identity.public_key for name, identity in sites.items()})
    signature = sites["a"].sign(b"said")
    assert roster.verifies(0, b"said", signature)
    assert not roster.verifies(1, b"said", signature)
    assert not roster.verifies(0, b"Said", signature)
    assert not roster.verifies(0, b"said", signature[:-1])
    assert not roster.verifies(2, b"said", signature)
    assert roster.number("b") == 1
    with pytest.raises(KeyError):
        roster.number("c")
    assert Identity.from_private_bytes("a", sites["a"].private_bytes()).public_key == roster.keys[0]
