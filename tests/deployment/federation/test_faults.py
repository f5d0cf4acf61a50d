"""What goes wrong between a hospital and its coordinator: each is refused or survived, and said in one sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import time

import numpy as np
import pytest

from fedgen.flower.state import open_state
from fedgen.flower.superlink import presence, remove_node

START = ("-m", "fedgen_client.cli", "start", "--folder")


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_site_that_is_stopped_says_good_bye(coordinator, link, connected, processes, number) -> None:
    folder = coordinator.join()
    site = processes.start(folder.name, *START, str(folder))
    node = connected(folder)
    site.send_signal(number)
    assert site.wait(20.0) == 130
    assert "Stopped. Nothing is lost" in processes.log(folder.name)
    # at once, and not when a minute has passed without a sign of life
    assert not presence(open_state(coordinator.federation.paths.database))[node].online
    assert json.loads((folder / "status.json").read_text())["state"] == "stopped"


@pytest.mark.slow
def test_two_processes_on_one_folder(coordinator, link, connected, processes) -> None:
    folder = coordinator.join()
    processes.start(folder.name, *START, str(folder))
    connected(folder)
    second = processes.run(*START, str(folder))
    assert second.returncode == 5
    assert second.stderr.startswith("fedgen-client: Another `fedgen-client start` works in")
    assert second.stderr.count("\n") == 1


def test_two_servers_and_a_taken_port(coordinator, processes, tmp_path) -> None:
    again = processes.run("-m", "fedgen_server.cli", "start", "--folder", str(coordinator.folder))
    assert again.returncode == 5 and "Another `fedgen-server start`" in again.stderr
    other = tmp_path / "other"
    shutil.copytree(coordinator.folder, other, ignore=shutil.ignore_patterns("*.lock", "superlink*"))
    taken = processes.run("-m", "fedgen_server.cli", "start", "--folder", str(other))
    assert taken.returncode == 5
    assert f"Port {coordinator.port} is taken" in taken.stderr and taken.stderr.count("\n") == 1


def test_another_authority_is_not_believed(coordinator, processes, link) -> None:
    """Somebody stands in between with a certificate of their own."""
    from datetime import UTC, datetime

    from fedgen_server.certificates import make_authority

    folder = coordinator.join()
    (folder / "ca.crt").write_bytes(make_authority("test", datetime.now(UTC)).certificate)
    site = processes.start(folder.name, *START, str(folder))
    # what is on the disk has not the fingerprint that the token had
    assert site.wait(60.0) == 5
    assert "not the authority that this site joined with" in processes.log(folder.name)


def test_a_clock_one_day_off(coordinator, echo, processes, link) -> None:
    folder = coordinator.join()
    site = echo(folder, "--clock", "86400")
    assert site.wait(60.0) == 3
    assert "clocks differ by more than five minutes" in processes.log(folder.name)


def test_a_removed_site_ends_with_the_reason(coordinator, echo, connected, link, processes) -> None:
    folder = coordinator.join()
    site = echo(folder)
    connected(folder)
    removed = processes.run(
        "-m", "fedgen_server.cli", "remove", folder.name, "--folder", str(coordinator.folder)
    )
    assert removed.returncode == 0, removed.stderr
    assert site.wait(60.0) == 3
    assert "it was removed" in processes.log(folder.name)
    back = echo(folder)
    assert back.wait(60.0) == 3


def test_a_message_ten_times_too_large_is_answered_with_a_refusal(
    coordinator, echo, connected, exchange
) -> None:
    folder = coordinator.join()
    site_file = folder / "site.yaml"
    site_file.write_text(site_file.read_text().replace("message_bytes: 268435456", "message_bytes: 1000000"))
    echo(folder)
    node = connected(folder)
    (reply,) = exchange([node], np.zeros(2_500_000, np.float32))
    assert reply.has_error() and "larger than the site takes" in reply.error.reason
    refused = [line for line in lines(folder) if line.get("decision") == "refused"]
    assert any("runtime.message_bytes" in line["reason"] for line in refused)
    # and the next one is answered
    (reply,) = exchange([node], np.zeros(10, np.float32))
    assert not reply.has_error()


def test_the_coordinator_refuses_a_body_that_is_too_large(coordinator, processes) -> None:
    import http.client
    import ssl

    trusted = ssl.create_default_context(cafile=str(coordinator.federation.paths.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", coordinator.port, context=trusted, timeout=30)
    limit = coordinator.federation.config.message_bytes
    connection.putrequest("POST", "/v1/fleet/push-object")
    connection.putheader("Content-Length", str(10 * limit))
    connection.putheader("Content-Type", "application/x-protobuf")
    connection.endheaders()
    assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    "path",
    ["/v1/control/start-run", "/v1/control/list-nodes", "/v1/runtime/acquire-task", "/docs", "/openapi.json"],
)
def test_nothing_else_of_flower_is_served(coordinator, path) -> None:
    import ssl
    import urllib.error
    import urllib.request

    trusted = ssl.create_default_context(cafile=str(coordinator.federation.paths.ca))
    with pytest.raises(urllib.error.HTTPError) as found:
        urllib.request.urlopen(
            urllib.request.Request(f"https://127.0.0.1:{coordinator.port}{path}", data=b"x", method="POST"),
            context=trusted,
            timeout=10,
        )
    assert found.value.code == 404


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_the_coordinator_is_away_for_a_while(
    coordinator, echo, connected, exchange, processes, until, seconds
) -> None:
    folder = coordinator.join()
    site = echo(folder)
    node = connected(folder)
    coordinator.kill()
    until(lambda: "Trying again until it does" in processes.log(folder.name), "the site's notice")
    time.sleep(seconds)
    assert site.poll() is None
    coordinator.start()
    # silent for a minute it counts as gone, until its next sign of life: a run waits for that (FleetExchange)
    assert connected(folder) == node
    (reply,) = exchange([node])
    assert not reply.has_error()
    events = [line["event"] for line in lines(folder)]
    # once each, however often it was tried, and without a new connection: what was under way goes on
    assert [events.count(event) for event in ("unreachable", "reachable", "connected")] == [1, 1, 1]


def test_the_disk_is_full_at_the_site(coordinator, processes, echo) -> None:
    """What cannot be written down does not leave: the site ends, with the reason."""
    folder = coordinator.join()
    site = echo(folder, "--full")
    assert site.wait(60.0) == 4
    assert "The disk is full" in processes.log(folder.name)
    assert processes.log(folder.name).count("Traceback") == 0


def test_code_in_a_bundle_never_reaches_a_site(
    coordinator, link, connected, exchange, processes, tmp_path
) -> None:
    """The coordinator is malicious: its run has a bundle whose code would leave a mark wherever it is imported.

    The site is the real one with its real worker; what it is asked is no task of ours, and it says so.
    """
    from flwr.supercore.fab import Fab

    mark = tmp_path / "executed"
    bundle = malicious_bundle(mark)
    state = open_state(coordinator.federation.paths.database)
    fab_hash = state.store_fab(Fab(hashlib.sha256(bundle).hexdigest(), bundle, {}))
    _set_bundle(coordinator, link.run_id, fab_hash)
    folder = coordinator.join()
    processes.start(folder.name, *START, str(folder))
    node = connected(folder)
    (reply,) = exchange([node], np.zeros(10, np.float32), seconds=180.0)
    assert not reply.has_error()
    refusal = json.loads(reply.content.config_records["message"]["json"])["message"]
    assert refusal["kind"] == "refusal"
    assert refusal["reason"].startswith("A message without a wire version")
    assert not mark.exists()
    # nor was it fetched: nothing of it is anywhere below the site's folder
    assert not [path for path in folder.rglob("*") if path.is_file() and b"executed" in path.read_bytes()]


def malicious_bundle(mark) -> bytes:
    """A Flower bundle that shadows our own packages and writes `mark` when any of them is imported."""
    import io
    import zipfile

    code = f"open({str(mark)!r}, 'w').write('executed')\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "pyproject.toml",
            '[project]\nname = "evil"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "evil"\n'
            '[tool.flwr.app.components]\nserverapp = "evil:app"\nclientapp = "evil:app"\n',
        )
        for name in ("evil.py", "fedgen_client/__init__.py", "fedgen_client/app.py", "fedgen/__init__.py"):
            archive.writestr(name, code)
    return buffer.getvalue()


def _set_bundle(coordinator, run_id: int, fab_hash: str) -> None:
    import sqlite3

    signed = run_id - 2**64 if run_id >= 2**63 else run_id
    with sqlite3.connect(coordinator.federation.paths.database, timeout=30) as database:
        changed = database.execute("UPDATE run SET fab_hash = ? WHERE run_id = ?", (fab_hash, signed))
        assert changed.rowcount == 1


def test_a_node_that_is_unknown_is_not_admitted(coordinator, echo, processes) -> None:
    folder = coordinator.join()
    state = open_state(coordinator.federation.paths.database)
    from fedgen_client.folder import SiteFolder

    assert remove_node(state, SiteFolder(folder).node_public_pem().encode())
    assert echo(folder).wait(60.0) == 3
