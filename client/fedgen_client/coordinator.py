"""What a site asks of its coordinator beside Flower's messages: `/fedgen/v1`, typed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fedgen import __version__
from fedgen.errors import FederationError
from fedgen.protocol.enrolment import (
    PREFIX,
    JoinReply,
    JoinRequest,
    SiteReply,
    StatusReply,
    StudiesReply,
    TimeReply,
)
from fedgen.protocol.manifest import SignedManifest
from fedgen.protocol.signing import sign_request
from fedgen.run.atomic import unreadable
from fedgen_client.folder import SiteFolder
from fedgen_client.transport import Transport
from fedgen_client.trust import certificates, fingerprint, matching, pinned, unverified
from fedgen_privacy.secagg import Identity

M = TypeVar("M", bound=BaseModel)


def fetch_ca(address: str, ca_sha256: str) -> str:
    """The coordinator's certificate authority in PEM: fetched from anybody, believed by its fingerprint alone.

    Raises:
        FederationError: unreachable, or another authority came.
    """
    with Transport(address, unverified()) as transport:
        found = certificates(transport.request("GET", f"{PREFIX}/ca"))
    ca = matching(found, ca_sha256)
    if ca is None:
        came = f"one with {fingerprint(found[0])}" if found else "none"
        raise FederationError(
            f"{address} is not the coordinator that made this token: the token's certificate authority has the "
            f"SHA-256 fingerprint {ca_sha256}, but {came} came, so nothing secret was sent; ask the coordinator by "
            "telephone for its fingerprint, and for a new token if it has changed."
        )
    return ca


def pinned_ca(folder: SiteFolder) -> str:
    """The authority that this site pinned when it joined, in PEM.

    Raises:
        FederationError: the site has joined no federation, or its `ca.crt` is not that authority.
        DataError: a file cannot be read.
    """
    membership = folder.membership()
    try:
        ca = matching(certificates(folder.ca.read_bytes()), membership.ca_sha256)
    except OSError as error:
        raise unreadable(folder.ca, error) from error
    # Compared again, because whoever could change the file could stand in between.
    if ca is None:
        raise FederationError(
            f"{folder.ca} is not the authority that this site joined with: restore it from its backup, or join "
            "again with a new token."
        )
    return ca


class Coordinator:
    """The coordinator, over TLS under its pinned authority.

    Args:
        address: `host:port`.
        ca_pem: the authority.
        identity: signs what only a site may ask; None before joining.
        now: this machine's clock.

    Every method raises FederationError where the coordinator cannot be reached or understood, and the error that
    fits where it refuses.
    """

    def __init__(
        self,
        address: str,
        ca_pem: str,
        identity: Identity | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.address = address
        self._identity = identity
        self._now = now
        self._transport = Transport(address, pinned(ca_pem))

    @classmethod
    def of(cls, folder: SiteFolder) -> Coordinator:
        """The coordinator that this site has joined.

        Raises:
            FederationError: it has joined none, or its `ca.crt` is absent or damaged.
            DataError, PrivacyRefusedError: a file or key of the folder cannot be used.
        """
        membership = folder.membership()
        return cls(membership.address, pinned_ca(folder), folder.identity(membership.site))

    def __enter__(self) -> Coordinator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def time(self) -> TimeReply:
        """The coordinator's clock and version."""
        return self._parsed(TimeReply, self._transport.request("GET", f"{PREFIX}/time"))

    def join(self, request: bytes) -> JoinReply:
        """Enrol this site; `request` is a `JoinRequest` as JSON."""
        return self._parsed(JoinReply, self._transport.request("POST", f"{PREFIX}/join", request))

    def site(self) -> SiteReply:
        """Whether this site's membership is active."""
        return self._parsed(SiteReply, self._signed("site"))

    def studies(self) -> list[SignedManifest]:
        """The studies that are offered to this site, their signatures unchecked."""
        return list(self._parsed(StudiesReply, self._signed("studies")).studies)

    def study(self, study_sha256: str) -> SignedManifest:
        """One of them."""
        return self._parsed(SignedManifest, self._signed(f"studies/{study_sha256}"))

    def status(self) -> StatusReply:
        """How far the studies are."""
        return self._parsed(StatusReply, self._signed("status"))

    def _signed(self, route: str) -> bytes:
        if self._identity is None:
            raise ValueError("only a site that has an identity can ask this")
        path = f"{PREFIX}/{route}"
        headers = sign_request(self._identity, "GET", path, b"", self._now())
        return self._transport.request("GET", path, headers=headers)

    def _parsed(self, kind: type[M], content: bytes) -> M:
        try:
            return kind.model_validate_json(content)
        except ValidationError:
            raise FederationError(
                f"The coordinator {self.address} answered in another form than this version expects "
                f"({kind.__name__}): both sides must run the same version."
            ) from None


def join_body(site: str, secret: str, identity: Identity, node_key_pem: str) -> bytes:
    """A `JoinRequest` as JSON: public keys and the token's secret, and nothing else."""
    request = JoinRequest(
        site=site,
        secret=secret,
        identity_key=identity.public_key.hex(),
        node_key=node_key_pem,
        fedgen=__version__,
    )
    return request.model_dump_json().encode()
