"""A coordinator's folder: everything that makes a federation, and nothing of any patient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedgen.errors import DataError, StudyError
from fedgen.protocol.fields import split_address
from fedgen.protocol.invitation import Invitation
from fedgen.run.atomic import write_atomic
from fedgen.run.journal import Journal
from fedgen.run.lock import held, is_held
from fedgen.schema.document import Document
from fedgen.schema.keys import Path as Key
from fedgen.schema.read import validated
from fedgen_privacy.secagg import Identity
from fedgen_privacy.secret_file import read_secret
from fedgen_server.certificate_check import check_certificate
from fedgen_server.certificates import Pair, ends, fingerprint, make_authority, make_server
from fedgen_server.config import FEDERATION_FILE, FederationConfig, dump_config, load_config
from fedgen_server.invitations import Invitations
from fedgen_server.page_passes import PagePasses
from fedgen_server.paths import Paths
from fedgen_server.sites import Member, Sites
from fedgen_server.studies import OfferedStudies

#: The name under which the coordinator signs.
COORDINATOR = "coordinator"
OWN = "This federation makes its own certificates: leave out --certificate and --key."


@dataclass(frozen=True)
class GivenCertificate:
    """Files of a certificate from the operator's own authority (see `check_certificate`)."""

    certificate: Path
    key: Path
    ca: Path


class Federation:
    """One federation, as each of its coordinator's processes sees it; made by `create` or `open`.

    Attributes:
        paths: its files.
        config: `federation.yaml`.
        identity: the coordinator's signing key.
        ca_sha256: fingerprint of the authority that sites pin.
        sites, invitations, studies, page_passes: its registries, shared with other processes.
        log: `log.jsonl`.
    """

    def __init__(self, paths: Paths, config: FederationConfig, identity: Identity, ca_sha256: str) -> None:
        self.paths = paths
        self.config = config
        self.identity = identity
        self.ca_sha256 = ca_sha256
        self.sites = Sites(paths.sites, paths.registry_lock)
        self.invitations = Invitations(paths.invitations, paths.registry_lock, config.address, ca_sha256)
        self.studies = OfferedStudies(paths.studies)
        self.page_passes = PagePasses(paths.page, paths.registry_lock)
        self.log = Journal(paths.log)

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        name: str,
        address: str,
        host: str = "0.0.0.0",
        port: int | None = None,
        certificate: GivenCertificate | None = None,
    ) -> Federation:
        """Make the folder, with new keys.

        Args:
            folder: may exist, but hold no federation.
            name: of the federation.
            address: `host:port` at which the sites will reach it.
            host, port: to listen on; the port is that of `address` unless given.
            certificate: files of the operator's own authority; without it one is made.

        Raises:
            StudyError: a value cannot be, the folder has a federation already, or the certificate would not be
                accepted by the sites.
            DataError: the folder cannot be written.
        """
        config = _config(name, address, host, port, certificate is not None)
        paths = Paths(folder)
        if certificate is not None:
            check_certificate(certificate.certificate, certificate.key, certificate.ca, config.public_host)
        _make_private(folder)
        with held(paths.registry_lock):
            if paths.config.exists():
                raise StudyError(f"{folder} holds a federation already: choose another folder.")
            if certificate is None:
                now = datetime.now(UTC)
                authority = make_authority(config.name, now)
                _write_pair(paths.ca, paths.ca_key, authority)
                _write_pair(paths.certificate, paths.key, make_server(authority, config.public_host, now))
            else:
                write_atomic(paths.ca, certificate.ca.read_bytes())
                _write_pair(
                    paths.certificate, paths.key, _read_pair(certificate.certificate, certificate.key)
                )
            identity = Identity.generate(COORDINATOR)
            write_atomic(paths.identity, identity.private_bytes())
            # Last: a folder without it is no federation, whatever an interrupt has left in it.
            write_atomic(paths.config, dump_config(config).encode())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Federation:
        """The federation of a folder.

        Raises:
            StudyError: there is none, or its federation.yaml is not valid.
            PrivacyRefusedError: others can read the coordinator's key.
            DataError: another file of it is missing or damaged.
        """
        paths = Paths(folder)
        config = load_config(paths.config)
        try:
            identity = Identity.from_private_bytes(COORDINATOR, read_secret(paths.identity))
            ca_sha256 = fingerprint(paths.ca.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{paths.identity} or {paths.ca} is missing or damaged ({error}): restore it from a backup of the "
                "federation's folder."
            ) from None
        return cls(paths, config, identity, ca_sha256)

    def is_served(self) -> bool:
        """Whether `fedgen-server start` runs over this folder."""
        return is_held(self.paths.server_lock)

    def invite(self, site: str, hours: float) -> Invitation:
        """A new invitation for a site, logged.

        Raises:
            StudyError: the site is a member already, or see `Invitations.invite`.
        """
        if site in self.sites.active():
            raise StudyError(
                f"{site} is in this federation already: `fedgen-server remove` it first if it has lost its folder."
            )
        invitation = self.invitations.invite(site, hours)
        self.log.write("invited", site=site, expires=invitation.expires.isoformat())
        return invitation

    def cancel_invitation(self, site: str) -> None:
        """Make a site's unused invitation void, logged; raises as `Invitations.cancel`."""
        self.invitations.cancel(site)
        self.log.write("cancelled", site=site)

    def remove(self, site: str) -> Member:
        """Remove a site and make its invitations void, logged; `fedgen.flower` has to be told too.

        Raises:
            StudyError: it never joined.
        """
        removed = self.sites.revoke(site)
        self.invitations.withdraw(site)
        self.log.write("removed", site=site)
        return removed

    def move(
        self,
        address: str,
        *,
        port: int | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> tuple[Federation, list[str]]:
        """Have the sites reach the coordinator at another address: same keys, same authority; it needs a restart.

        A certificate that is made here is good for the old host too, so that sites can follow one by one where the old
        address still leads here. Unused invitations are void, since their tokens say the old address. Once more to the
        same address mends what was cut off.

        Args:
            address: the new `host:port`.
            port: to listen on; by default that of `address` where it was that of the old one, else as before.
            certificate, key: the operator's new files where `federation.yaml` says `certificate: given` and the old
                ones are not for the new host, else None.

        Returns:
            the federation as it is now, and the names of the sites that have to be invited again.

        Raises:
            StudyError: it is no address, files are given where they are made here or the other way round, or the sites
                would refuse the certificate.
            DataError: a file cannot be read or written.
        """
        old, paths, now = self.config, self.paths, datetime.now(UTC)
        follows = old.port == _port(old.address)
        listen = port if port is not None else _port(address) if follows else old.port
        config = _moved(old, address, listen)
        host = config.public_host
        if old.certificate == "own":
            if certificate is not None or key is not None:
                raise StudyError(OWN)
            authority = _read_pair(paths.ca, paths.ca_key)
            also = [] if old.public_host == host else [old.public_host]
            pair = make_server(authority, host, now, also)
        else:
            chosen = (certificate or paths.certificate, key or paths.key)
            check_certificate(*chosen, paths.ca, host)
            pair = _read_pair(*chosen)
        waiting = sorted({one.site for one in self.invitations.pending(now)})
        with held(paths.registry_lock):
            _write_pair(paths.certificate, paths.key, pair)
            # Last: until it is written, the same command can be given again.
            write_atomic(paths.config, dump_config(config).encode())
        for site in waiting:
            self.invitations.cancel(site)
        self.log.write("moved", **{"from": old.address}, to=address)
        return Federation.open(paths.folder), waiting

    def check_certificate(self) -> None:
        """Raise StudyError where sites would refuse the server's certificate today."""
        paths = self.paths
        check_certificate(paths.certificate, paths.key, paths.ca, self.config.public_host)

    def renew(self, certificate: Path | None = None, key: Path | None = None) -> datetime:
        """Give the server a new certificate of the authority that the sites have pinned; it needs a restart.

        Args:
            certificate, key: the operator's new files where `federation.yaml` says `certificate: given`, else None.

        Returns:
            when the new certificate ends.

        Raises:
            StudyError: files are given where they are made here, or the other way round, or the sites would refuse
                the certificate.
        """
        paths, host = self.paths, self.config.public_host
        if self.config.certificate == "own":
            if certificate is not None or key is not None:
                raise StudyError(OWN)
            pair = make_server(_read_pair(paths.ca, paths.ca_key), host, datetime.now(UTC))
        else:
            if certificate is None or key is None:
                raise StudyError(
                    "This federation's certificate comes from your own authority: give the new one with --certificate "
                    "and --key."
                )
            check_certificate(certificate, key, paths.ca, host)
            pair = _read_pair(certificate, key)
        with held(paths.registry_lock):
            _write_pair(paths.certificate, paths.key, pair)
        self.check_certificate()
        end = ends(pair.certificate)
        self.log.write("renewed", ends=end.isoformat())
        return end


def _config(name: str, address: str, host: str, port: int | None, given: bool) -> FederationConfig:
    values: dict[str, object] = {
        "name": name,
        "address": address,
        "host": host,
        "port": port if port is not None else _port(address),
        "certificate": "given" if given else "own",
    }
    origins: dict[Key, str] = {(key,): f"--{key}" for key in values}
    return validated(Document("fedgen-server init", values, origins), FEDERATION_FILE)


def _moved(config: FederationConfig, address: str, port: int) -> FederationConfig:
    values = {**config.model_dump(mode="json"), "address": address, "port": port}
    origins: dict[Key, str] = {("address",): "HOST:PORT", ("port",): "--port"}
    return validated(Document("fedgen-server move", values, origins), FEDERATION_FILE)


def _port(address: str) -> int:
    try:
        return split_address(address)[1]
    except ValueError:
        # The address is refused in the same breath; any port keeps the refusal to one sentence.
        return 1


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"The folder {folder} cannot be made ({error.strerror}): choose another.") from None


def _read_pair(certificate: Path, key: Path) -> Pair:
    try:
        return Pair(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise DataError(
            f"{certificate} or {key} cannot be read ({error.strerror}): restore it from a backup."
        ) from None


def _write_pair(certificate: Path, key: Path, pair: Pair) -> None:
    write_atomic(key, pair.key)
    write_atomic(certificate, pair.certificate)
