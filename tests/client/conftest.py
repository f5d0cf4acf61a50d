"""A coordinator as small as can be: the routes of `/fedgen/v1` over real TLS on loopback, recording what it is sent."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image
from typer.testing import CliRunner, Result

from fedgen import __version__
from fedgen.errors import FedgenError, PrivacyRefusedError
from fedgen.protocol.invitation import Invitation, encode_invitation
from fedgen.protocol.manifest import SignedManifest, manifest_of, sign_manifest
from fedgen.protocol.signing import verify_request
from fedgen.study.study import Study
from fedgen_client.enrol import join
from fedgen_client.folder import SiteFolder
from fedgen_privacy.secagg import Identity

NORTH = "north"
SECRET = "s3cret-of-the-invitation-0123456789abcdef"


@dataclass(frozen=True)
class Authority:
    """A certificate authority and what it signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str = "test authority") -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            builder.add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    def server_context(
        self, folder: Path, host: str = "127.0.0.1", days: tuple[float, float] = (-1, 30)
    ) -> ssl.SSLContext:
        """TLS of a server whose certificate is made for `host` and valid for these days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "coordinator")])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        certificate = (
            _builder(name, self.certificate.subject, key, days)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        pem = folder / "server.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: tuple[float, float] = (-1, 30),
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )


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


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
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


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stub]]:
    """`serve(authority, host=..., days=...)`: a stub coordinator on a free port."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    servers: list[ThreadingHTTPServer] = []

    def start(authority: Authority, shown: bytes | None = None, **certificate: Any) -> Stub:
        stub = Stub(authority)
        server = Quiet(("127.0.0.1", 0), _handler(stub))
        place = tmp_path / f"server-{len(servers)}"
        place.mkdir()
        server.socket = authority.server_context(place, **certificate).wrap_socket(
            server.socket, server_side=True
        )
        stub.address = f"127.0.0.1:{server.server_port}"
        if shown is not None:
            stub.answers["/fedgen/v1/ca"] = (200, shown)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return stub

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stub(serve: Callable[..., Stub], authority: Authority) -> Stub:
    return serve(authority)


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    """A site's folder that does not exist yet."""
    return SiteFolder(tmp_path / "site")


@pytest.fixture
def member(stub: Stub, folder: SiteFolder) -> SiteFolder:
    """A site that has joined, with the template as its site file."""
    join(folder, stub.token())
    return folder


@pytest.fixture
def others() -> dict[str, bytes]:
    """Public keys of two more sites."""
    return {name: Identity.generate(name).public_key for name in ("east", "south")}


@pytest.fixture
def secure_study(tiny_study: Callable[..., Study]) -> Callable[..., Study]:
    """`secure_study(privacy={...})`: a study that the template's policy allows, with sections' keys replaced."""

    def build(family: str = "vae", **sections: dict[str, Any]) -> Study:
        base: dict[str, dict[str, Any]] = {
            "aggregation": {"secure": True, "minimum_sites": 3},
            "privacy": {"epsilon": 8.0},
        }
        merged = {
            name: {**base.get(name, {}), **sections.get(name, {})}
            for name in dict.fromkeys([*base, *sections])
        }
        return tiny_study(family, **merged)

    return build


@pytest.fixture
def command() -> Callable[..., Result]:
    """`command("join", token, folder=...)`: a command of `fedgen-client`, its FedgenError kept as the exception."""
    from fedgen_client.cli.main import app

    def invoke(*arguments: str, folder: SiteFolder, **options: Any) -> Result:
        return CliRunner().invoke(app, [*arguments, "--folder", str(folder.path)], **options)

    return invoke


@pytest.fixture
def edit_site_file() -> Callable[..., None]:
    """`edit_site_file(folder, ("10.0", "null"))`: replace texts that stand in the site file."""

    def edit(folder: SiteFolder, *changes: tuple[str, str]) -> None:
        text = folder.site_file.read_text()
        for before, after in changes:
            assert before in text, before
            text = text.replace(before, after)
        folder.site_file.write_text(text)

    return edit


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """36 patients with an image each, half of each class, and the table that says so."""
    place = tmp_path / "images"
    place.mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,patient,site,label"]
    for number in range(36):
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(place / f"{number}.png")
        rows.append(f"{number}.png,p{number},north,{'lesion' if number % 2 else 'none'}")
    (place / "metadata.csv").write_text("\n".join(rows) + "\n")
    return place


@pytest.fixture
def with_data(stub: Stub, folder: SiteFolder, images: Path) -> SiteFolder:
    """A site that has joined with images, whose budget is counted at a delta that so few patients allow."""
    join(folder, stub.token(), images)
    text = folder.site_file.read_text()
    folder.site_file.write_text(text.replace("delta: 1.0e-5", "delta: 1.0e-3"))
    return folder


@pytest.fixture
def offered(with_data, stub, others, secure_study):
    """A study that is offered to the site."""
    return stub.offer(secure_study(), **others)
