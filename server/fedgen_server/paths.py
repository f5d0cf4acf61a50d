"""Where the files of a federation's folder are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The files of a federation's folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """`federation.yaml`."""
        return self.folder / "federation.yaml"

    @property
    def ca(self) -> Path:
        """`ca.crt`: the authority that sites pin."""
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """`ca.key`, absent where certificates are given."""
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        """`server.crt`."""
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        """`server.key`."""
        return self.folder / "server.key"

    @property
    def identity(self) -> Path:
        """`coordinator.key`: the 32 bytes of the Ed25519 key that signs manifests."""
        return self.folder / "coordinator.key"

    @property
    def database(self) -> Path:
        """`superlink.db`: Flower's state."""
        return self.folder / "superlink.db"

    @property
    def invitations(self) -> Path:
        """`invitations.json`."""
        return self.folder / "invitations.json"

    @property
    def sites(self) -> Path:
        """`sites.json`."""
        return self.folder / "sites.json"

    @property
    def page(self) -> Path:
        """`page.json`: who may see the page."""
        return self.folder / "page.json"

    @property
    def sightings(self) -> Path:
        """`sightings.json`: clocks and versions of the sites, as they last said."""
        return self.folder / "sightings.json"

    @property
    def studies(self) -> Path:
        """`studies/`."""
        return self.folder / "studies"

    @property
    def runs(self) -> Path:
        """`runs/`."""
        return self.folder / "runs"

    @property
    def log(self) -> Path:
        """`log.jsonl`."""
        return self.folder / "log.jsonl"

    @property
    def server_lock(self) -> Path:
        """`server.lock`: held by the server as long as it runs."""
        return self.folder / "server.lock"

    @property
    def registry_lock(self) -> Path:
        """`registry.lock`: held for the moment in which a file is changed."""
        return self.folder / "registry.lock"
