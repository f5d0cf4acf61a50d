"""Our federation: `fedgen-server start` and one `fedgen-client start` a site, TLS and authentication on."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from deployment.processes import Processes, free_port, listening, python
from deployment.study import PATIENTS, SITE_FILE, study_text
from fedgen.data.phantom.write import phantom_sites, write_phantom_site
from fedgen.flower.link import Link
from fedgen.protocol.invitation import encode_invitation
from fedgen.study.data import Phantom
from fedgen.study.study import Study
from fedgen_client.folder import SiteFolder
from fedgen_client.membership import write_membership
from fedgen_server.conduct import publish
from fedgen_server.exchange import FleetExchange
from fedgen_server.folder import Federation

COMMAND_SECONDS = 120.0
START_SECONDS = 60.0
#: For all sites to start their workers, decode their images and calibrate the noise, on few cores.
READY_SECONDS = 300.0
CONNECTED = "Connected to the coordinator."
WORKER = "fedgen_client.worker"
CONDUCTOR = "conductor"
#: Hours for which the invitations are good.
HOURS = 1.0


class Ours:
    """A running federation whose sites approve what they are offered.

    Args:
        processes: where its processes are kept.
        folder: for its files.
        sites: how many.
        line: given a site and the server's port, the port through which that site reaches it; the server's own where
            None. A site joins without it.
    """

    link = "server"

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        sites: int,
        line: Callable[[str, int], int] | None = None,
    ) -> None:
        self._processes, self._folder = processes, folder
        self._phantom = Phantom(sites=sites, patients=PATIENTS)
        self.sites = list(phantom_sites(self._phantom))
        folder.mkdir(parents=True)
        self._coordinator = folder / "coordinator"
        self._line = line
        self._port = free_port()
        self._start()
        self.federation = Federation.open(self._coordinator)
        self._join()

    def _start(self) -> None:
        address = ["--address", f"127.0.0.1:{self._port}", "--host", "127.0.0.1"]
        self._processes.run(
            python("fedgen_server.cli", "init", str(self._coordinator), "--name", "benchmark", *address),
            COMMAND_SECONDS,
        )
        self._processes.start(
            self.link, python("fedgen_server.cli", "start", "--folder", str(self._coordinator))
        )
        self._processes.until(lambda: listening(self._port), START_SECONDS, "our coordinator")

    def _join(self) -> None:
        for site in self.sites:
            own, data = self.folder(site), self._folder / "data" / site
            write_phantom_site(data, self._phantom, site, 1)
            own.mkdir(parents=True)
            (own / "site.yaml").write_text(SITE_FILE.format(folder=json.dumps(str(data))))
            token = encode_invitation(self.federation.invite(site, HOURS))
            at = ["--folder", str(own)]
            self._processes.run(python("fedgen_client.cli", "join", token, *at), COMMAND_SECONDS)
            if self._line is not None:
                move(own, self._line(site, self._port))
            self._processes.start(site, python("fedgen_client.cli", "start", *at))
        self._processes.until(
            lambda: all(CONNECTED in self._processes.written(site) for site in self.sites),
            START_SECONDS,
            "our sites",
        )

    def folder(self, site: str) -> Path:
        """The folder of one site."""
        return self._folder / "sites" / site

    def worker(self, site: str) -> int | None:
        """Id of a site's worker process, None where there is none now."""
        found = [pid for pid, command in self._processes.family(site).items() if WORKER in command]
        return found[0] if found else None

    @contextlib.contextmanager
    def exchange(self, study: Study) -> Iterator[FleetExchange]:
        """Offer a study, and be its coordinator in this process: no rounds, only messages."""
        publish(self.federation, study, self.sites)
        stop = threading.Event()
        members = self.federation.sites.active()
        link = Link(self.federation.paths.database, stop)
        try:
            yield FleetExchange(link, {site: members[site].node_id for site in self.sites}, stop)
        finally:
            stop.set()
            link.close(True)

    @contextlib.contextmanager
    def conduct(self, name: str, rounds: int) -> Iterator[Path]:
        """Start `fedgen-server run` of a study in a process of its own; gives its run folder, and ends it."""
        file = self._folder / f"{name}.yaml"
        file.write_text(study_text(name, len(self.sites), rounds, secure=True))
        at = ["--folder", str(self._coordinator), "--wait", str(READY_SECONDS)]
        self._processes.start(CONDUCTOR, python("fedgen_server.cli", "run", str(file), *at))
        runs = self.federation.paths.runs
        try:
            self._processes.until(lambda: list(runs.glob(f"{name}-*")), START_SECONDS, "the run of our study")
            (run,) = runs.glob(f"{name}-*")
            yield run
        finally:
            self._processes.stop(CONDUCTOR)


def move(site: Path, port: int) -> None:
    """Have a site that has joined reach its coordinator at another port of this machine."""
    folder = SiteFolder(site)
    moved = folder.membership().model_copy(update={"address": f"127.0.0.1:{port}"})
    write_membership(folder.membership_file, moved)
