"""What is written around the real federation agrees with it: site file, commands, routes, limits, services, images."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import pytest
import typer.main
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedgen.cli.deferred import Deferred
from fedgen.cli.shell import INTERRUPTED
from fedgen.errors import ExitCode
from fedgen.protocol.enrolment import MAX_REQUEST_BYTES
from fedgen.protocol.signing import WINDOW
from fedgen.schema.keys import keys
from fedgen_client import supervisor
from fedgen_client.checks.connection import AHEAD
from fedgen_client.cli.main import app as client
from fedgen_client.folder import _new_node_key
from fedgen_client.site_file import SiteFile
from fedgen_client.site_manual import reference
from fedgen_server import certificates
from fedgen_server.cli.main import app as server
from fedgen_server.config import MEBIBYTE, FederationConfig
from fedgen_server.guard import is_reachable
from fedgen_server.routes import router

REPO = Path(__file__).parent.parent
PROGRAMS = {
    "client": cast(click.Group, typer.main.get_command(client)),
    "server": cast(click.Group, typer.main.get_command(server)),
}
TEXTS = sorted(
    [
        *(REPO / "docs").rglob("*.md"),
        REPO / "README.md",
        *(
            REPO / end / name
            for end in PROGRAMS
            for name in ("README.md", "Dockerfile", f"fedgen-{end}.service")
        ),
        REPO / "configs" / "site.yaml",
    ]
)


def text(*parts: str) -> str:
    return REPO.joinpath(*parts).read_text(encoding="utf-8")


def test_the_reference_of_the_site_file_is_up_to_date() -> None:
    assert text("docs", "reference", "site-file.md") == reference(), "run `make docs`"
    assert "python -m fedgen_client.site_manual > docs/reference/site-file.md" in text("Makefile")


def test_the_curve_of_a_sites_connection_is_the_one_that_is_made() -> None:
    key = serialization.load_pem_private_key(_new_node_key(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    curve = f"P-{key.curve.key_size}"
    for page in ("explanation/security-model.md", "reference/network.md"):
        assert set(re.findall(r"P-\d\d\d", text("docs", *page.split("/")))) == {curve}, page


def test_the_reference_of_the_site_file_has_every_key_with_its_meaning() -> None:
    page = reference()
    found = list(keys(SiteFile, along=("cohorts", "NAME")))
    assert len(found) > 15
    for key in found:
        if len(key.path) == 1 or key.path == ("cohorts", "NAME"):
            assert f"## `{key.path[0]}" in page
        else:
            assert f"| `{key.path[-1]}` | " in page
            assert key.field.description in page, key.path


def test_the_template_of_the_site_file_has_every_key() -> None:
    template = yaml.safe_load(text("configs", "site.yaml"))
    for key in keys(SiteFile, along=("cohorts", "main")):
        value: Any = template
        for part in key.path:
            assert part in value, key.path
            value = value[part]


def code(path: Path) -> Iterator[str]:
    """What a person would type: fenced blocks and code spans of a page, and the whole of any other file."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        yield from content.splitlines()
        return
    blocks = re.findall(r"```\w*\n(.*?)```", content, re.DOTALL)
    yield from (line for block in blocks for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", content, flags=re.DOTALL))


def whole(end: str, name: str) -> click.Command:
    """A command with its options, where the program has one that stands for it until it is called."""
    found = PROGRAMS[end].commands[name]
    return found.real if isinstance(found, Deferred) else found


@pytest.mark.parametrize("path", TEXTS, ids=[str(path.relative_to(REPO)) for path in TEXTS])
def test_commands_and_options_that_are_mentioned_exist(path: Path) -> None:
    for line in code(path):
        for end, typed in re.findall(r"fedgen-(client|server)((?: [^\s`]+)+)", line):
            command, *words = typed.split()
            if not re.fullmatch(r"[a-z]+", command):
                continue
            assert command in PROGRAMS[end].commands, line
            known = {name for option in whole(end, command).params for name in option.opts}
            for word in words:
                if word.startswith("#") or word == "&":
                    break
                if word.startswith("--"):
                    assert word.partition("=")[0] in known, (line, word)


@pytest.mark.parametrize("end", PROGRAMS)
def test_the_readme_of_each_side_has_every_command(end: str) -> None:
    page = text(end, "README.md")
    for name in PROGRAMS[end].commands:
        assert name == "version" or f"\nfedgen-{end} {name}" in page, name


def test_the_network_page_has_every_route_and_each_is_reachable() -> None:
    page = text("docs", "reference", "network.md")
    routes = router(cast(Any, None), lambda key, site: 0).routes
    assert len(routes) >= 8
    for route in cast(list[Any], routes):
        (method,) = route.methods
        path = route.path.replace("{sha256}", "HASH")
        assert f"`{method} {path}`" in page or f"`{path.removeprefix('/fedgen/v1')}`" in page, path
        assert is_reachable(method, route.path.replace("{sha256}", "0" * 64)), path


def test_the_numbers_of_the_network_page_are_those_of_the_code() -> None:
    page = " ".join(text("docs", "reference", "network.md").split())
    assert MAX_REQUEST_BYTES == 64 * 1024 and "64 KiB beneath `/fedgen/v1`" in page
    assert (
        FederationConfig.model_fields["message_bytes"].default == 64 * MEBIBYTE and "(64 MiB unless" in page
    )
    assert f"{WINDOW.total_seconds():.0f} s and {AHEAD.total_seconds():.0f} s" in page
    assert certificates.SERVER_LIFE.days == 397 and "| 397 days |" in page
    assert certificates.CA_LIFE.days == 3650 and "10 years" in page
    assert supervisor.IDLE_POLL == 5.0 and "every 5 s at most" in page
    assert 0.05 <= supervisor.ACTIVE_POLL <= 0.1 and "about every 0.1 s" in page
    assert supervisor.HEARTBEAT_SECONDS == 15.0 and "every 15 s" in page


def unit(end: str) -> dict[str, list[str]]:
    """Every key of a service unit with its values."""
    found: dict[str, list[str]] = {}
    for line in text(end, f"fedgen-{end}.service").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("end", PROGRAMS)
def test_a_service_restarts_what_may_mend_itself_and_nothing_else(end: str) -> None:
    found = unit(end)
    assert found["ExecStart"] == [f"/opt/fedgen/bin/fedgen-{end} start"]
    assert found["Restart"] == ["on-failure"]
    assert found["SuccessExitStatus"] == [str(INTERRUPTED)]
    prevented = {int(code) for code in found["RestartPreventExitStatus"][0].split()}
    assert prevented == {ExitCode.INVALID, ExitCode.REFUSED}


@pytest.mark.parametrize("end", PROGRAMS)
def test_a_service_may_write_to_its_own_folder_alone(end: str) -> None:
    found = unit(end)
    (folder,) = found["ReadWritePaths"]
    variable = {"client": "FEDGEN_SITE", "server": "FEDGEN_FEDERATION"}[end]
    start = whole(end, "start")
    assert any(option.envvar == variable for option in start.params)
    assert f"{variable}={folder}" in found["Environment"]
    assert folder == f"/var/lib/{found['StateDirectory'][0]}"
    assert found["StateDirectoryMode"] == ["0700"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["NoNewPrivileges"] == found["PrivateTmp"] == ["yes"]
    assert found["User"] not in (["root"], ["0"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("end", PROGRAMS)
def test_systemd_understands_the_unit(end: str, tmp_path: Path) -> None:
    placed = tmp_path / f"fedgen-{end}.service"
    placed.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/sh", text(end, placed.name)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(placed)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def instructions(end: str) -> list[str]:
    """A Dockerfile's instructions, continued lines joined."""
    content = re.sub(r"(?m)^#.*\n", "", text(end, "Dockerfile")).replace("\\\n", "")
    return [line for line in content.splitlines() if line]


@pytest.mark.parametrize("end", PROGRAMS)
def test_an_image_starts_the_program_without_root(end: str) -> None:
    found = instructions(end)
    assert found[0] == "FROM python:3.11-slim"
    assert found[-2:] == [f'ENTRYPOINT ["fedgen-{end}"]', 'CMD ["start"]']
    assert "USER fedgen" in found and found.index("USER fedgen") > next(
        number for number, line in enumerate(found) if line.startswith("RUN")
    )
    scripts = tomllib.loads(text("pyproject.toml"))["project"]["scripts"]
    assert f"fedgen-{end}" in scripts


def test_the_health_check_of_the_image_asks_a_route_that_there_is() -> None:
    (line,) = (line for line in instructions("server") if line.startswith("HEALTHCHECK"))
    program, option, script = json.loads(line.partition(" CMD ")[2])
    assert (program, option) == ("python", "-c")
    compile(script, "healthcheck", "exec")
    asked = re.search(r"request\('GET', '([^']+)'\)", script)
    assert asked and asked[1] in [
        route.path for route in cast(list[Any], router(cast(Any, None), None).routes)
    ]
