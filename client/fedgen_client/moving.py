"""The coordinator has another address: a site follows with the authority that it pinned and its own keys."""

from __future__ import annotations

from fedgen.errors import FederationError, StudyError
from fedgen.protocol.fields import split_address
from fedgen.run.lock import held
from fedgen_client.coordinator import Coordinator, pinned_ca
from fedgen_client.folder import SiteFolder
from fedgen_client.membership import Membership, write_membership


def move(folder: SiteFolder, address: str) -> Membership:
    """Reach the coordinator at another address from now on; nothing changes unless it answers there.

    It is believed by the pinned authority alone, as at the old address, so a wrong or a hostile address cannot win
    anything. Once more to the same address is the same.

    Args:
        folder: of a site that has joined; no other process may work in it.
        address: `host:port`.

    Returns:
        the membership as it is now.

    Raises:
        StudyError: it is no address.
        FederationError: nobody answers there, or not under the pinned authority, or the site is no member there.
        LockedError: the site is running.
        PrivacyRefusedError, DataError: keys or files of the folder cannot be used.
    """
    try:
        split_address(address)
    except ValueError as error:
        raise StudyError(f"The address {address!r} {error}.") from None
    busy = f"`fedgen-client start` works in {folder.path}: stop it, move, and start it again."
    with held(folder.lock, wait=0.0, busy=busy):
        before = folder.membership()
        with Coordinator(address, pinned_ca(folder), folder.identity(before.site)) as coordinator:
            found = coordinator.site()
        if not found.active or found.site != before.site:
            raise FederationError(
                f"The coordinator at {address} does not have {before.site} as a member, so nothing was changed: ask it "
                "by telephone."
            )
        after = before.model_copy(update={"address": address})
        write_membership(folder.membership_file, after)
        folder.journal.write("moved", **{"from": before.address}, to=address)
    return after
