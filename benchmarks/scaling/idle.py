"""Hundreds of sites that wait for one coordinator: its CPU and memory, and whether a sign of life was lost."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from deployment.meter import cpu_seconds, resident_mb
from deployment.ours import COMMAND_SECONDS, HOURS, START_SECONDS
from deployment.processes import ProcessError, Processes, free_port, listening, python
from deployment.study import SITE_FILE

from fedgen.flower.link import Link
from fedgen.protocol.invitation import encode_invitation
from fedgen_client.enrol import join
from fedgen_client.folder import SiteFolder
from fedgen_server.folder import Federation
from scaling import waiting_sites

SERVER, SITES = "server", "sites"
CONNECT_SECONDS, LOOK_SECONDS = 300.0, 1.0


def idle(processes: Processes, folder: Path, sites: int, seconds: float) -> dict[str, Any]:
    """Let `sites` sites wait for `seconds` against a coordinator of its own process.

    Returns:
        `cpu_percent` of one core, `memory_mb` at the start and the end, `fewest` sites that were connected at any
        look, `looks`, and connections that a site had to make again: `lost_at_start` while all came, `lost` afterwards.
    """
    folder.mkdir(parents=True)
    coordinator, own = folder / "coordinator", folder / "sites"
    port = free_port()
    address = ["--address", f"127.0.0.1:{port}", "--host", "127.0.0.1"]
    processes.run(
        python("fedgen_server.cli", "init", str(coordinator), "--name", "benchmark", *address),
        COMMAND_SECONDS,
    )
    server = processes.start(SERVER, python("fedgen_server.cli", "start", "--folder", str(coordinator)))
    processes.until(lambda: listening(port), START_SECONDS, "our coordinator")
    federation = Federation.open(coordinator)
    for number in range(sites):
        name = f"site-{number:03d}"
        place = SiteFolder(own / name)
        join(place, encode_invitation(federation.invite(name, HOURS)))
        place.site_file.write_text(SITE_FILE.format(folder=json.dumps(str(folder))))
    stop = threading.Event()
    link = Link(federation.paths.database, stop)
    try:
        waits = str(CONNECT_SECONDS + seconds)
        processes.start(SITES, [sys.executable, waiting_sites.__file__, str(own), waits])
        processes.until(lambda: len(link.connected()) == sites, CONNECT_SECONDS, f"{sites} sites")
        # A site writes it down once it has been told that it is connected.
        processes.until(lambda: _noted(own) == sites, CONNECT_SECONDS, f"notes of {sites} sites")
        # All come at once, and some are told to come again: that is not waiting.
        at_start = _lost(own)
        found = _watch(link, server, sites, seconds, processes)
        # Before the server goes, which each of them would note.
        lost = _lost(own) - at_start
    finally:
        stop.set()
        link.close(True)
        processes.stop(SITES, SERVER)
    return {"sites": sites, "seconds": seconds, **found, "lost_at_start": at_start, "lost": lost}


def _watch(link: Link, server: int, sites: int, seconds: float, processes: Processes) -> dict[str, Any]:
    began, spent, memory = time.monotonic(), cpu_seconds(server), resident_mb(server)
    fewest, looks = sites, 0
    while (now := time.monotonic()) < began + seconds:
        processes.check()
        fewest, looks = min(fewest, len(link.connected())), looks + 1
        time.sleep(LOOK_SECONDS)
    return {
        "cpu_percent": 100 * (cpu_seconds(server) - spent) / (now - began),
        "memory_mb": [memory, resident_mb(server)],
        "fewest": fewest,
        "looks": looks,
    }


def _noted(own: Path) -> int:
    """Sites that have written down that they are connected."""
    return sum("connected" in _events(path) for path in own.iterdir() if path.is_dir())


def _lost(own: Path) -> int:
    """Connections beyond each site's first, and sites that ended, by what the sites wrote into their own logs."""
    lost = 0
    for path in own.iterdir():
        if path.is_dir():
            events = _events(path)
            if "connected" not in events:
                raise ProcessError(f"{path.name} never connected")
            lost += events.count("connected") - 1 + events.count("unreachable")
    return lost


def _events(path: Path) -> list[str]:
    log = SiteFolder(path).log
    # The last line may be half written.
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line)["event"] for line in lines if line.endswith("}")]
