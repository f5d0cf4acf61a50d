"""Joining a federation with a token: keys made here, one authority pinned, the public halves registered."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedgen.errors import DataError, FederationError
from fedgen.protocol.invitation import Invitation, decode_invitation
from fedgen.run.atomic import unwritable, write_atomic
from fedgen.study import presets
from fedgen_client.coordinator import Coordinator, fetch_ca, join_body
from fedgen_client.folder import SiteFolder
from fedgen_client.membership import Membership, read_membership, write_membership
from fedgen_client.site_log import fingerprint

_FOLDER_LINE = re.compile(r"^(    folder: )\S+", re.MULTILINE)


@dataclass(frozen=True)
class Enrolled:
    """What joining did.

    Attributes:
        membership: as it is now.
        again: this site was a member before.
        site_file_made: whether `site.yaml` was written; one that exists is left alone.
    """

    membership: Membership
    again: bool
    site_file_made: bool


def join(folder: SiteFolder, token: str, data: Path | None = None) -> Enrolled:
    """Join the federation that the token is of; doing it again after a lost reply gives the same membership.

    Keys that exist are used, never written over. Nothing secret is sent before the coordinator's certificate
    authority has the fingerprint that the token names.

    Args:
        folder: the site's; made where absent.
        token: as the coordinator gave it.
        data: folder of the images, for a site file that is made now.

    Raises:
        StudyError: it is no token.
        FederationError: this folder is of another federation, or the coordinator cannot be reached or is another.
        PrivacyRefusedError: the coordinator refuses, because the token is used or expired; or a key can be read by
            others.
        DataError: `data` is no folder, or a file cannot be written.
    """
    invitation = decode_invitation(token)
    before = read_membership(folder.membership_file)
    _refuse_second(folder, before, invitation)
    if data is not None and not data.is_dir():
        raise DataError(f"{data} is not a folder: give the folder that holds the images with --data.")
    ca = fetch_ca(invitation.address, invitation.ca_sha256)
    _make(folder.path)
    identity = folder.identity(invitation.site)
    body = join_body(invitation.site, invitation.secret, identity, folder.node_public_pem())
    log = folder.journal
    log.write("sent", kind="join", to=invitation.address, **fingerprint(body))
    with Coordinator(invitation.address, ca) as coordinator:
        reply = coordinator.join(body)
    if reply.site != invitation.site:
        raise FederationError(
            f"The coordinator enrolled {reply.site} where the token is for {invitation.site}: ask it for a new token."
        )
    membership = Membership(
        federation=reply.federation,
        site=reply.site,
        address=invitation.address,
        coordinator_key=reply.coordinator_key,
        ca_sha256=invitation.ca_sha256,
        node_id=reply.node_id,
        joined=datetime.now(UTC) if before is None else before.joined,
    )
    if before is not None and before.coordinator_key != membership.coordinator_key:
        raise _second(folder, before)
    write_atomic(folder.ca, ca.encode())
    # Last: a site whose membership is written has everything else.
    write_membership(folder.membership_file, membership)
    log.write(
        "joined", federation=reply.federation, site=reply.site, to=invitation.address, node_id=reply.node_id
    )
    return Enrolled(membership, before is not None, _make_site_file(folder, data))


def _refuse_second(folder: SiteFolder, before: Membership | None, invitation: Invitation) -> None:
    if before is not None and (before.ca_sha256, before.site) != (invitation.ca_sha256, invitation.site):
        raise _second(folder, before)


def _second(folder: SiteFolder, before: Membership) -> FederationError:
    return FederationError(
        f"{folder.path} is already {before.site} of the federation {before.federation}, and a folder has one "
        "federation: name another folder with --folder for the second."
    )


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def _make_site_file(folder: SiteFolder, data: Path | None) -> bool:
    if folder.site_file.exists():
        return False
    text = presets.template("site").read_text(encoding="utf-8")
    if data is not None:
        # A JSON string is a YAML string too, whatever is in the path.
        quoted = json.dumps(str(data.absolute()), ensure_ascii=False)
        text = _FOLDER_LINE.sub(lambda found: found[1] + quoted, text, count=1)
    write_atomic(folder.site_file, text.encode())
    return True
