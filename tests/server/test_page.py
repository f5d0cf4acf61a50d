"""A federation's page: who has a token, what is known of its sites, and how its runs are stopped and resumed."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from fedgen.dashboard.access import holder
from fedgen.errors import DataError, FederationError, StudyError
from fedgen.flower.superlink import Presence
from fedgen_server import watched_federation
from fedgen_server.cli.main import app
from fedgen_server.folder import Federation
from fedgen_server.guard import is_reachable
from fedgen_server.page_on_port import is_page
from fedgen_server.page_passes import PagePasses
from fedgen_server.sightings import Sightings
from fedgen_server.watched_federation import WatchedFederation

NOW = datetime.now(UTC)


@pytest.fixture
def passes(tmp_path: Path) -> PagePasses:
    return PagePasses(tmp_path / "page.json", tmp_path / "lock")


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation.create(tmp_path / "federation", name="three", address="127.0.0.1:8443")


def test_without_a_token_nobody_is_let_in_and_no_file_is_made(passes: PagePasses, tmp_path: Path) -> None:
    assert passes.keyring().passes == {}
    assert not (tmp_path / "page.json").exists()


def test_another_process_sees_a_new_token_and_a_void_one(passes: PagePasses, tmp_path: Path) -> None:
    other = PagePasses(tmp_path / "page.json", tmp_path / "lock")
    token, kept = passes.issue("read", 1)
    assert holder(other.keyring(), token, NOW) == kept
    assert (tmp_path / "page.json").stat().st_mode & 0o077 == 0
    assert token.split("_", 2)[2] not in (tmp_path / "page.json").read_text()
    passes.issue("operate", 1)
    assert passes.void(kept.id) == 1
    assert holder(other.keyring(), token, NOW) is None
    assert len(other.keyring().passes) == 1
    assert passes.void(None) == 1


def test_the_key_of_the_cookies_stays(passes: PagePasses) -> None:
    passes.issue("read", 1)
    key = passes.keyring().key
    passes.issue("read", 1)
    passes.void(None)
    assert passes.keyring().key == key


def test_tokens_that_are_over_are_forgotten(passes: PagePasses) -> None:
    passes.issue("read", 1, NOW - timedelta(days=2))
    _, kept = passes.issue("read", 1)
    assert [each.id for each in passes.all()] == [kept.id]


@pytest.mark.parametrize("days", [0, -1, 367, float("nan")])
def test_a_token_is_good_for_some_days(passes: PagePasses, days: float) -> None:
    with pytest.raises(StudyError, match="--days"):
        passes.issue("read", days)


def test_an_unknown_id_and_a_damaged_file_are_refused(passes: PagePasses, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no token 'abc'"):
        passes.void("abc")
    (tmp_path / "page.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        passes.keyring()


def test_the_command_prints_a_link_whose_secret_no_request_carries(federation: Federation) -> None:
    folder = ["--folder", str(federation.paths.folder)]
    said = CliRunner().invoke(app, ["page", "--read-only-token", *folder])
    assert said.exit_code == 0, said.output
    link = said.stdout.strip()
    address, _, token = link.partition("#")
    assert address == "https://127.0.0.1:8443/page"
    kept = holder(federation.page_passes.keyring(), token, NOW)
    assert kept is not None and kept.may == "read"
    listed = CliRunner().invoke(app, ["page", "--list", *folder]).stdout
    assert kept.id in listed and token not in listed
    assert token not in federation.paths.log.read_text()
    assert CliRunner().invoke(app, ["page", "--void", kept.id, *folder]).exit_code == 0
    assert holder(federation.page_passes.keyring(), token, NOW) is None


def test_the_page_is_on_the_port_and_nothing_beside_it() -> None:
    for path in ("/page", "/page/run/0123abcd", "/page/look.css", "/page/enter"):
        assert is_reachable("GET", path) and is_reachable("POST", path) and is_page(path)
    assert is_reachable("GET", "/metrics") and not is_reachable("POST", "/metrics")
    for path in (
        "/page/",
        "/pages",
        "/page//x",
        "/page/../v1",
        "/page/.x",
        "/Page",
        "/metrics/x",
        "/page/a b",
    ):
        assert not is_reachable("GET", path)
    assert not is_reachable("DELETE", "/page")
    assert not is_page("/v1/fleet/pull-messages") and not is_page("/fedgen/v1/health")


def test_what_is_noticed_of_a_site(tmp_path: Path) -> None:
    members = {
        "north": SimpleNamespace(node_id=1), "south": SimpleNamespace(node_id=2), "new": SimpleNamespace(node_id=3)
    }  # fmt: skip
    nodes = {1: Presence(True, "2026-01-31T09:00:00"), 2: Presence(False, "2026-01-31T08:00:00")}
    seen = Sightings(lambda: nodes, lambda: members, tmp_path / "seen.json")  # type: ignore[arg-type, return-value]
    seen.note("north", (NOW + timedelta(seconds=12.34)).isoformat(), "fedgen-client/0.1.0", NOW)
    seen.note("south", NOW.isoformat(), "curl/8 <x>", NOW)
    found = seen.all()
    assert (found["north"].connected, found["north"].clock, found["north"].fedgen) == (True, 12.3, "0.1.0")
    assert (found["south"].connected, found["south"].clock, found["south"].fedgen) == (False, 0.0, None)
    assert (found["new"].connected, found["new"].last_seen, found["new"].clock) == (False, None, None)
    seen.note("south", (NOW - timedelta(milliseconds=10)).isoformat(), "fedgen-client/0.1.0", NOW)
    assert str(seen.all()["south"].clock) == "0.0"
    assert found["north"].said == NOW.isoformat() and found["new"].said is None


def sightings(path: Path, *members: str, together: float = 60.0) -> Sightings:
    known = {name: SimpleNamespace(node_id=1) for name in members}
    return Sightings(dict, lambda: known, path, together)  # type: ignore[arg-type, return-value]


def test_what_a_site_said_of_itself_outlives_the_server(tmp_path: Path) -> None:
    path, before = tmp_path / "sightings.json", NOW - timedelta(hours=3)
    first = sightings(path, "north")
    first.note("north", (before + timedelta(seconds=2)).isoformat(), "fedgen-client/0.1.0", before)
    first.note("gone", before.isoformat(), "fedgen-client/0.1.0", before)
    assert not path.exists()
    first.keep()
    assert path.stat().st_mode & 0o077 == 0
    # Of a site that was removed nothing is kept.
    assert "gone" not in path.read_text()
    found = sightings(path, "north", "gone").all()
    assert (found["north"].clock, found["north"].fedgen, found["north"].said) == (
        2.0,
        "0.1.0",
        before.isoformat(),
    )
    assert found["gone"].clock is None


def test_sightings_are_written_together_and_not_at_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Semaphore(0)
    monkeypatch.setattr("fedgen_server.sightings.write_model", lambda path, value: written.release())
    seen = sightings(tmp_path / "sightings.json", "north", together=0.05)
    for _ in range(100):
        seen.note("north", NOW.isoformat(), "fedgen-client/0.1.0", NOW)
    assert written.acquire(timeout=30)
    seen.keep()
    # There was nothing new.
    assert not written.acquire(blocking=False)


def test_a_damaged_file_of_sightings_and_a_full_disk_keep_no_server_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sightings.json"
    path.write_text('{"sites": {"north"')
    seen = sightings(path, "north")
    assert seen.all()["north"].clock is None

    def full(path: Path, value: object) -> None:
        raise DataError("The disk is full.")

    monkeypatch.setattr("fedgen_server.sightings.write_model", full)
    seen.note("north", NOW.isoformat(), "fedgen-client/0.1.0", NOW)
    seen.keep()
    assert seen.all()["north"].clock == 0.0


@pytest.fixture
def watched(federation: Federation) -> WatchedFederation:
    return WatchedFederation(federation, Sightings(dict, dict, federation.paths.sightings))


def test_a_federation_without_a_study_has_no_run(watched: WatchedFederation) -> None:
    assert watched.runs() == [] and watched.state("a" * 16) is None and watched.folder("a" * 16) is None
    with pytest.raises(FederationError, match="no such run"):
        watched.stop("a" * 16, "who")


def test_resume_starts_the_command_once_and_says_by_whom(
    watched: WatchedFederation, federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **options: object) -> None:
            assert options["start_new_session"] is True
            started.append(command)

        def poll(self) -> None:
            return None

    run = tmp_path / "demo-1"
    run.mkdir()
    monkeypatch.setattr(watched_federation.subprocess, "Popen", Process)
    monkeypatch.setattr(watched, "_find", lambda key: SimpleNamespace(run=SimpleNamespace(path=run)))
    monkeypatch.setattr(watched_federation, "is_conducted", lambda run: False)
    watched.resume("key", "0123456789ab")
    with pytest.raises(FederationError, match="conducts this run already"):
        watched.resume("key", "0123456789ab")
    assert started == [
        [
            sys.executable,
            "-m",
            "fedgen_server.cli",
            "resume",
            "demo-1",
            "--folder",
            str(federation.paths.folder),
        ]
    ]
    entries = list(federation.log.entries())
    assert [(entry["event"], entry["by"]) for entry in entries] == [("resumed_by_page", "0123456789ab")]


def test_stop_asks_the_process_that_conducts(
    watched: WatchedFederation, federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "_find", lambda key: SimpleNamespace(run=SimpleNamespace(path=tmp_path)))
    monkeypatch.setattr(watched_federation, "stop_conductor", lambda run: False)
    with pytest.raises(FederationError, match="No process conducts"):
        watched.stop("key", "who")
    monkeypatch.setattr(watched_federation, "stop_conductor", lambda run: True)
    watched.stop("key", "who")
    assert [entry["event"] for entry in federation.log.entries()] == ["stopped_by_page"]
