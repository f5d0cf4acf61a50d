"""The coordinator moves: a site follows it with its keys and its pinned authority, and follows nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fedgen.errors import FederationError, FedgenError, LockedError, StudyError
from fedgen.run.lock import held
from fedgen_client.folder import SiteFolder
from fedgen_client.moving import move


@pytest.fixture
def moved(serve: Callable[..., Any], authority: Any, stub: Any) -> Any:
    """The same coordinator at another address."""
    other = serve(authority)
    other.joined, other.removed, other.identity = stub.joined, stub.removed, stub.identity
    return other


def kept(folder: SiteFolder) -> dict[str, bytes]:
    """Keys, authority, site file and membership."""
    return {
        path.name: path.read_bytes()
        for path in (
            folder.identity_key,
            folder.node_key,
            folder.ca,
            folder.site_file,
            folder.membership_file,
        )
    }


def test_it_follows_with_the_keys_and_the_authority_that_it_has(
    member: SiteFolder, moved: Any, stub: Any, command: Any
) -> None:
    before, old = member.membership(), kept(member)
    result = command("move", moved.address, folder=member)
    assert result.exit_code == 0, result.output
    assert member.membership() == before.model_copy(update={"address": moved.address})
    new = kept(member)
    assert {name for name in old if old[name] != new[name]} == {"membership.json"}
    assert '"event": "moved"' in member.log.read_text()
    assert [request.path for request in moved.requests] == ["/fedgen/v1/site"]
    asked = len(stub.requests)
    assert command("studies", folder=member).exit_code == 0
    assert len(stub.requests) == asked
    assert move(member, moved.address) == member.membership()


def test_it_follows_nobody_else(member: SiteFolder, serve: Callable[..., Any], moved: Any, stub: Any) -> None:
    """Another authority that even knows the site, an address where nobody is, one who does not know it."""
    other = serve(type(stub.authority).make("another"))
    other.joined = stub.joined
    stranger = serve(stub.authority)
    before = kept(member)
    for address in (other.address, "127.0.0.1:1", stranger.address):
        with pytest.raises(FedgenError) as refused:
            move(member, address)
        assert int(refused.value.exit_code) in (3, 5)
        assert kept(member) == before
    # Nothing but a signed question went out, and to the impostor not even that.
    assert not other.requests
    moved.removed = {"north"}
    with pytest.raises(FederationError, match="does not have north as a member"):
        move(member, moved.address)
    assert kept(member) == before


def test_a_running_site_is_not_moved_under_its_feet(member: SiteFolder, moved: Any) -> None:
    with held(member.lock, wait=0.0), pytest.raises(LockedError, match="stop it, move"):
        move(member, moved.address)


@pytest.mark.parametrize("address", ["", "nowhere", "host:0", "host:99999", "https://host:1"])
def test_what_is_no_address(member: SiteFolder, address: str) -> None:
    with pytest.raises(StudyError, match="must be host:port"):
        move(member, address)
