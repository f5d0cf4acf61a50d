"""Whoever fails often is not listened to for a while; others are."""

from __future__ import annotations

from fedgen.dashboard.failures import ADDRESSES, MOST, SECONDS, Failures


def test_an_address_waits_after_ten_failures_and_is_listened_to_again() -> None:
    now = [0.0]
    failures = Failures(lambda: now[0])
    for _ in range(MOST):
        assert failures.too_many("a") == 0.0
        failures.note("a")
        now[0] += 1.0
    assert failures.too_many("a") == SECONDS - MOST
    assert failures.too_many("b") == 0.0
    now[0] = SECONDS
    assert failures.too_many("a") == 0.0


def test_memory_has_an_end() -> None:
    failures = Failures(lambda: 0.0)
    for number in range(ADDRESSES + 5):
        failures.note(str(number))
    assert len(failures._found) == ADDRESSES
