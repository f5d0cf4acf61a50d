"""A message whose connection breaks half way: what has come is kept, and the rest is asked for."""

from __future__ import annotations

import ssl
from types import SimpleNamespace

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedgen.flower.fleet import Fleet, RejectedError, UnreachableError, WaitingMessage

PARTS = {"a": b"1" * 10, "b": b"2" * 20, "c": b"3" * 30}
MESSAGE = WaitingMessage(run_id=1, message_id="c", header=b"", object_ids=tuple(PARTS))
ENOUGH = 1000


class BreakingLine:
    """Answers PullObject, but for the calls whose number is in `broken`."""

    def __init__(self, broken: set[int]) -> None:
        self._broken = broken
        self.asked: list[str] = []

    def PullObject(self, request):  # noqa: N802  (Flower's name)
        self.asked.append(request.object_id)
        if len(self.asked) in self._broken:
            raise httpx.ReadError("cut")
        return SimpleNamespace(
            object_found=True, object_available=True, object_content=PARTS[request.object_id]
        )


def site_on(line: BreakingLine) -> Fleet:
    key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fleet = Fleet("127.0.0.1:1", ssl.create_default_context(), key, 1)
    fleet._client = line
    return fleet


def test_a_cut_costs_the_part_that_broke_and_no_other():
    line, parts = BreakingLine({2, 4}), {}
    fleet = site_on(line)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            fleet.pull(MESSAGE, ENOUGH, parts)
    fleet.pull(MESSAGE, ENOUGH, parts)
    assert parts == PARTS
    assert line.asked == ["a", "b", "b", "c", "c"]


@pytest.mark.parametrize("broken", [set(), {2}])
def test_the_limit_counts_what_came_before_the_cut(broken):
    line, parts = BreakingLine(broken), {}
    fleet = site_on(line)
    if broken:
        with pytest.raises(UnreachableError):
            fleet.pull(MESSAGE, 29, parts)
    with pytest.raises(RejectedError, match="29 bytes"):
        fleet.pull(MESSAGE, 29, parts)
    assert "c" not in parts
