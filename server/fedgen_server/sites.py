"""The sites of a federation: who joined, with which keys, and who was removed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen.protocol.fields import Hex32, SiteName, UtcTime
from fedgen.run.lock import held
from fedgen.schema.section import Section
from fedgen_server.storage import read_model, write_model


class Member(Section):
    """One member.

    Attributes:
        name: of the site.
        identity_key: Ed25519 public key, hex.
        node_key: public key on Flower's Fleet API, PEM.
        node_id: the node's number there.
        joined: when.
        revoked: when it was removed, None for a member.
    """

    name: SiteName
    identity_key: Hex32
    node_key: str
    node_id: int
    joined: UtcTime
    revoked: UtcTime | None = None

    @property
    def active(self) -> bool:
        """Whether it is a member."""
        return self.revoked is None


class _File(Section):
    sites: list[Member]


class Sites:
    """The registry, `sites.json`; read afresh each time, because another process may have written it."""

    def __init__(self, path: Path, lock: Path) -> None:
        self._path = path
        self._lock = lock

    def all(self) -> dict[str, Member]:
        """Every site that ever joined, by name, the last to bear it."""
        return {site.name: site for site in read_model(self._path, _File, _File(sites=[])).sites}

    def active(self) -> dict[str, Member]:
        """Members by name."""
        return {name: site for name, site in self.all().items() if site.active}

    def identity_keys(self) -> dict[str, bytes]:
        """Ed25519 public keys of members and of removed sites, by name: who is removed is told so, if it is they."""
        return {name: bytes.fromhex(site.identity_key) for name, site in self.all().items()}

    def add(self, site: Member) -> Member:
        """Enter a site; the same site with the same keys again changes nothing, and is returned as it stands.

        Raises:
            PrivacyRefusedError: see `check`.
        """
        with held(self._lock):
            known = self.all()
            member = _member(known, site.name, site.identity_key, site.node_key)
            if member is not None:
                return member
            known[site.name] = site
            self._write(known)
        return site

    def check(self, name: str, identity_key: str, node_key: str) -> None:
        """Whether a site of that name and keys may be added.

        Raises:
            PrivacyRefusedError: the name is a member's with other keys, or a key is another site's, or was removed.
        """
        _member(self.all(), name, identity_key, node_key)

    def revoke(self, name: str) -> Member:
        """Remove a member; its entry and keys are kept, so that it is known that it was one.

        Once more changes nothing: a removal that was cut off can be repeated.

        Raises:
            StudyError: no site of that name ever joined.
        """
        with held(self._lock):
            known = self.all()
            site = known.get(name)
            if site is None:
                members = ", ".join(sorted(n for n, s in known.items() if s.active)) or "none"
                raise StudyError(
                    f"No site of the name {name!r} is in this federation: its sites are {members}."
                )
            if site.active:
                site = known[name] = site.model_copy(update={"revoked": datetime.now(UTC)})
                self._write(known)
        return site

    def _write(self, sites: dict[str, Member]) -> None:
        write_model(self._path, _File(sites=list(sites.values())))


def _member(known: dict[str, Member], name: str, identity_key: str, node_key: str) -> Member | None:
    """The member of that name and keys, None where it may be added; raises where it may not."""
    old = known.get(name)
    if old is not None and old.active:
        if (old.identity_key, old.node_key) == (identity_key, node_key):
            return old
        raise PrivacyRefusedError(
            f"{name} is in this federation already with other keys: the coordinator has to remove it first, and invite "
            "it again."
        )
    for other in known.values():
        if identity_key == other.identity_key or node_key == other.node_key:
            raise PrivacyRefusedError(
                f"A key of {name} belongs to {'another' if other.active else 'a removed'} site: join from a new, empty "
                "folder, which makes new keys."
            )
    return None
