"""What a site keeps of the federation it joined: `membership.json`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fedgen.errors import DataError, FederationError
from fedgen.protocol.fields import Address, Hex32, SiteName, UtcTime
from fedgen.run.atomic import unreadable, write_atomic
from fedgen.schema.section import Section


class Membership(Section):
    """A site's place in one federation.

    Attributes:
        federation: its name.
        site: this site's name in it.
        address: `host:port` of the coordinator.
        coordinator_key: Ed25519 key (hex) that signs the studies.
        ca_sha256: SHA-256 of the certificate authority that is trusted for `address`, and no other is.
        node_id: this site's number on Flower's wire.
        joined: when.
    """

    federation: str
    site: SiteName
    address: Address
    coordinator_key: Hex32
    ca_sha256: Hex32
    node_id: int
    joined: UtcTime


def read_membership(path: Path) -> Membership | None:
    """The membership, or None where this site has joined no federation.

    Raises:
        DataError: the file is damaged or unreadable.
    """
    try:
        return Membership.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValidationError, UnicodeDecodeError):
        raise DataError(
            f"{path} is damaged: restore it from its backup, or join again with a new token."
        ) from None


def require_membership(path: Path) -> Membership:
    """The membership.

    Raises:
        FederationError: there is none.
        DataError: see `read_membership`.
    """
    found = read_membership(path)
    if found is None:
        raise FederationError(
            f"This site has joined no federation ({path} does not exist): ask the coordinator for a token and run "
            "`fedgen-client join TOKEN`, or name the site's folder with --folder."
        )
    return found


def write_membership(path: Path, membership: Membership) -> None:
    """Keep the membership.

    Raises:
        DataError: it cannot be written.
    """
    write_atomic(path, (membership.model_dump_json(indent=2) + "\n").encode())
