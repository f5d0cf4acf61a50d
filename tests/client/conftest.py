"""A site and its coordinator, a study that may be offered, and the site's images."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from fedgen.protocol.manifest import SignedManifest
from fedgen.study.study import Study
from fedgen_client.enrol import join
from fedgen_client.folder import SiteFolder
from fedgen_privacy.secagg import Identity
from tests.client.authority import Authority
from tests.client.stub_coordinator import Quiet, Stub, handler_of

SOURCE = "NIH ChestX-ray14, CC0."


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
        server = Quiet(("127.0.0.1", 0), handler_of(stub))
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


@pytest.fixture
def on_prior(secure_study: Callable[..., Study], tmp_path: Path) -> Callable[..., tuple[Study, Path]]:
    """`on_prior(sites)`: a study of the family latent on a prior that names these sites, and its file."""
    from fedgen.priors.build import Said, of_images  # loads torch

    def build(sites: tuple[str, ...] = ()) -> tuple[Study, Path]:
        images = np.random.default_rng(4).uniform(-1, 1, (12, 1, 16, 16)).astype(np.float32)
        content = of_images(images, 4, 2, Said(SOURCE, "CC0-1.0", sites))
        path = tmp_path / "prior.safetensors"
        path.write_bytes(content)
        prior = {"sha256": hashlib.sha256(content).hexdigest(), "source": SOURCE}
        model = {"family": "latent", "latent": {"latent_size": 4}, "prior": prior}
        return secure_study(model=model), path

    return build


@pytest.fixture
def visit(with_data: SiteFolder, offered: SignedManifest) -> Any:
    """The page of a site to which a study is offered; nobody has entered."""
    from fedgen_client.studies import Studies
    from tests.client.page_visit import Visit

    assert Studies(with_data).keep(offered)
    return Visit(with_data)
