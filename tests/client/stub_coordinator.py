"""A coordinator as small as can be: the routes of `/fedgen/v1` over real TLS on loopback, recording what it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fedgen import __version__
from fedgen.errors import FedgenError, PrivacyRefusedError
from fedgen.protocol.invitation import Invitation, encode_invitation
from fedgen.protocol.manifest import SignedManifest, manifest_of, sign_manifest
from fedgen.protocol.signing import verify_request
from fedgen.study.study import Study
from fedgen_privacy.secagg import Identity
from tests.client.authority import Authority

NORTH = "north"
SECRET = "s3cret-of-the-invitation-0123456789abcdef"


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """A coordinator: what it offers and refuses is set by the test, what it was sent is kept."""

    authority: Authority
    address: str = ""
    federation: str = "lungs"
    identity: Identity = field(default_factory=lambda: Identity.generate("coordinator"))
    requests: list[Request] = field(default_factory=list)
    #: secret to when it expires
    secrets: dict[str, datetime] = field(default_factory=lambda: {SECRET: datetime.max.replace(tzinfo=UTC)})
    joined: dict[str, dict[str, Any]] = field(default_factory=dict)
    offered: list[SignedManifest] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    clock: timedelta = timedelta(0)
    version: str = __version__
    #: path to (status, body), instead of what the route would answer
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    lose_join_reply: bool = False

    @property
    def secret(self) -> str:
        """The one that `token` carries."""
        return SECRET

    @property
    def bodies(self) -> bytes:
        """Everything that any request carried, headers included."""
        return b"\n".join(
            request.path.encode() + json.dumps(request.headers).encode() + request.body
            for request in self.requests
        )

    def token(self, **changes: Any) -> str:
        values = {
            "address": self.address,
            "site": NORTH,
            "secret": SECRET,
            "ca_sha256": self.authority.sha256,
            "expires": datetime.now(UTC) + timedelta(hours=1),
        }
        return encode_invitation(Invitation(**{**values, **changes}))

    def offer(self, study: Study, created: datetime | None = None, **keys: bytes) -> SignedManifest:
        """Offer a study to every site that has joined, and to the sites of `keys`."""
        roster = {site: bytes.fromhex(entry["identity_key"]) for site, entry in self.joined.items()}
        manifest = manifest_of(self.federation, study, {**roster, **keys}, created or datetime.now(UTC))
        signed = sign_manifest(manifest, self.identity)
        self.offered.append(signed)
        return signed

    def answer(self, request: Request) -> tuple[int, bytes] | None:
        """Status and body; None to break the connection."""
        if request.path in self.answers:
            return self.answers[request.path]
        try:
            match request.method, request.path.removeprefix("/fedgen/v1/"):
                case "GET", "ca":
                    return 200, self.authority.pem
                case "GET", "time":
                    return _json(time=(datetime.now(UTC) + self.clock).isoformat(), fedgen=self.version)
                case "POST", "join":
                    return self._join(json.loads(request.body))
                case "GET", "site":
                    site = self._signer(request)
                    return _json(site=site, active=site not in self.removed)
                case "GET", "studies":
                    self._signer(request)
                    return _json(studies=[signed.model_dump() for signed in self.offered])
        except FedgenError as error:
            status = 401 if isinstance(error, PrivacyRefusedError) else 403
            return _json(status, error=str(error), code=int(error.exit_code))
        return _json(404, error="There is no such route: ask the coordinator.", code=2)

    def _signer(self, request: Request) -> str:
        keys = {site: bytes.fromhex(entry["identity_key"]) for site, entry in self.joined.items()}
        return verify_request(
            keys, request.headers, request.method, request.path, request.body, datetime.now(UTC) + self.clock
        )

    def _join(self, asked: dict[str, Any]) -> tuple[int, bytes] | None:
        keys = {name: asked[name] for name in ("identity_key", "node_key")}
        expires = self.secrets.get(asked["secret"])
        known = self.joined.get(asked["site"])
        if expires is None:
            return _json(403, error="This token is not one of this federation: ask for another.", code=3)
        if known is not None and {name: known[name] for name in keys} != keys:
            return _json(403, error="This token was used already: ask the coordinator for a new one.", code=3)
        if known is None and expires < datetime.now(UTC):
            return _json(403, error="This token has expired: ask the coordinator for a new one.", code=3)
        node_id = 7 if known is None else known["node_id"]
        self.joined[asked["site"]] = {**keys, "node_id": node_id}
        if self.lose_join_reply:
            self.lose_join_reply = False
            return None
        return _json(
            federation=self.federation,
            coordinator_key=self.identity.public_key.hex(),
            site=asked["site"],
            node_id=node_id,
        )


def _json(status: int = 200, **values: Any) -> tuple[int, bytes]:
    return status, json.dumps(values).encode()


def handler_of(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            request = Request(self.command, self.path, dict(self.headers), body)
            stub.requests.append(request)
            answer = stub.answer(request)
            if answer is None:
                self.close_connection = True
                return
            status, content = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Tests stay quiet."""

    return Handler


class Quiet(ThreadingHTTPServer):
    """A server that does not print when a client turns away."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """What went wrong is the client's to say."""
