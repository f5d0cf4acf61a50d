"""Many sites that wait in one process: each its own keys, folder, connection, polls and signs of life.

    python waiting_sites.py FOLDER SECONDS

A site is `fedgen_client.supervisor.Supervisor`, as `fedgen-client start` runs it, in a thread instead of a process; the
server cannot tell. It writes `said.json` into the folder at the end: by site what it said.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from fedgen.flower.fleet import Fleet
from fedgen_client.coordinator import pinned_ca
from fedgen_client.folder import SiteFolder
from fedgen_client.supervisor import Supervisor
from fedgen_client.trust import pinned

SAID = "said.json"
END_SECONDS = 60.0


def main(folder: Path, seconds: float) -> None:
    """Wait as every site of the folder, for so long."""
    stopped = threading.Event()
    said: dict[str, list[str]] = {}
    threads = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        said[path.name] = []
        threads.append(threading.Thread(target=_wait, args=(path, said[path.name], stopped), name=path.name))
    for thread in threads:
        thread.start()
    stopped.wait(seconds)
    stopped.set()
    for thread in threads:
        thread.join(END_SECONDS)
    (folder / SAID).write_text(json.dumps(said))


def _wait(path: Path, said: list[str], stopped: threading.Event) -> None:
    site = SiteFolder(path)
    membership = site.membership()
    fleet = Fleet(membership.address, pinned(pinned_ca(site)), site.node_private_pem(), membership.node_id)
    try:
        # A supervisor sets the event of its own when it ends, and the others go on.
        own = threading.Event()
        threading.Thread(target=lambda: (stopped.wait(), own.set()), daemon=True).start()
        Supervisor(site, fleet, lambda: None, lambda: None, said.append, own).serve()
    except Exception as error:
        # A site that cannot wait ends all of them, and whoever waits for them is told.
        said.append(f"ended: {type(error).__name__}: {error}")
        print(path.name, said[-1], flush=True)
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
