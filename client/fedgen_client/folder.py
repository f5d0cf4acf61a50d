"""The site's folder: where each file lies, and the two keys that are made in it and never leave it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedgen.data.pseudonyms import KEY_FILE
from fedgen.data.withdrawals import WITHDRAWN
from fedgen.errors import DataError
from fedgen.run.atomic import unwritable
from fedgen.run.chained_journal import ChainedJournal
from fedgen.run.directory import PRETRAINED
from fedgen_client.membership import Membership, require_membership
from fedgen_client.site_file import SiteFile, load_site_file
from fedgen_privacy.secagg import Identity
from fedgen_privacy.secagg.identity_file import IDENTITY_FILE, stored_identity
from fedgen_privacy.secret_file import make_secret, read_secret


@dataclass(frozen=True)
class SiteFolder:
    """Paths and keys of one site."""

    path: Path

    @property
    def site_file(self) -> Path:
        """`site.yaml`: data and policy."""
        return self.path / "site.yaml"

    @property
    def identity_key(self) -> Path:
        """`identity.key`: Ed25519, signs requests and secure aggregation."""
        return self.path / IDENTITY_FILE

    @property
    def pseudonym_key(self) -> Path:
        """`pseudonym.key`: what stands for patients and files in everything that is written down is made with it."""
        return self.path / KEY_FILE

    @property
    def withdrawn(self) -> Path:
        """`withdrawn.json`: patients who have withdrawn, by their pseudonyms."""
        return self.path / WITHDRAWN

    @property
    def node_key(self) -> Path:
        """`node.key`: EC P-256, authenticates the connection to Flower's SuperLink."""
        return self.path / "node.key"

    @property
    def ca(self) -> Path:
        """`ca.crt`: the one certificate authority trusted for the coordinator."""
        return self.path / "ca.crt"

    @property
    def membership_file(self) -> Path:
        """`membership.json`."""
        return self.path / "membership.json"

    @property
    def studies(self) -> Path:
        """`studies/`: a folder a study."""
        return self.path / "studies"

    @property
    def given(self) -> Path:
        """`given/`: files that studies stand on and no coordinator sends, put there by a person."""
        return self.path / "given"

    @property
    def ledgers(self) -> Path:
        """`ledgers/`."""
        return self.path / "ledgers"

    @property
    def cache(self) -> Path:
        """`cache/`: decoded images."""
        return self.path / "cache"

    @property
    def log(self) -> Path:
        """`log.jsonl`: everything that entered and left."""
        return self.path / "log.jsonl"

    @property
    def journal(self) -> ChainedJournal:
        """The log as it is written and read; nobody writes it otherwise, which would break its chain."""
        return ChainedJournal(self.log)

    @property
    def lock(self) -> Path:
        """`site.lock`: held by the one running site process."""
        return self.path / "site.lock"

    @property
    def status(self) -> Path:
        """`status.json`: what the running site process is doing."""
        return self.path / "status.json"

    def study(self, study_sha256: str) -> Path:
        """The folder of one study."""
        return self.studies / study_sha256

    def pretrained(self, study_sha256: str) -> Path:
        """The weights under a study's adapters, which the coordinator does not send."""
        return self.study(study_sha256) / PRETRAINED

    def ledger(self, cohort: str) -> Path:
        """The budget ledger of one cohort."""
        return self.ledgers / f"{cohort}.jsonl"

    def load_site_file(self) -> SiteFile:
        """The site file; raises StudyError as `site_file.load_site_file`."""
        return load_site_file(self.site_file)

    def membership(self) -> Membership:
        """The membership; raises FederationError where this site has joined no federation."""
        return require_membership(self.membership_file)

    def identity(self, site: str) -> Identity:
        """The site's signing identity, made here the first time.

        Raises:
            PrivacyRefusedError: others can read the key.
            DataError: the file is damaged or cannot be written.
        """
        try:
            return stored_identity(self.path, site)
        except OSError as error:
            raise unwritable(self.identity_key, error) from error

    def node_private_key(self) -> ec.EllipticCurvePrivateKey:
        """The key of the connection, EC P-256 in PKCS8 PEM, made here the first time.

        Raises:
            PrivacyRefusedError: others can read the key.
            DataError: the file is damaged or cannot be written.
        """
        try:
            if not self.node_key.exists():
                # Where another process makes one at the same moment, that one is the key, for both.
                with contextlib.suppress(FileExistsError):
                    make_secret(self.node_key, _new_node_key())
            key = serialization.load_pem_private_key(read_secret(self.node_key), password=None)
        except OSError as error:
            raise unwritable(self.node_key, error) from error
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise DataError(f"The site key {self.node_key} is damaged: restore it from its backup.")
        return key

    def node_private_pem(self) -> bytes:
        """The private half, for the connection alone."""
        return self.node_private_key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def node_public_pem(self) -> str:
        """The public half of `node_private_key`, SubjectPublicKeyInfo in PEM: what the coordinator registers."""
        public = self.node_private_key().public_key()
        return public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode("ascii")


def _new_node_key() -> bytes:
    # Every request is signed and checked with it; P-384, which Flower makes, takes eight times as long.
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
