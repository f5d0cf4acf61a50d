"""Stock Flower: a SuperLink, SuperNodes, and a bundle whose ClientApp answers at once.

Everything as Flower ships it, isolation `subprocess`, every default; without TLS and without node authentication, which
only favours it. The exchange is `grid.send_and_receive`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from deployment.processes import Processes, free_port, listening, script

APP = Path(__file__).parent / "app"
START_SECONDS = 60.0
SUBMIT_SECONDS = 60.0
#: For a run of a few exchanges, on a busy machine.
RUN_SECONDS = 300.0
#: A SuperNode says this when it has been admitted.
ACTIVATED = "SuperNode ID:"
CONFIG = """\
[superlink]
default = "benchmark"

[superlink.benchmark]
address = "127.0.0.1:{port}"
insecure = true
"""


class Stock:
    """A running stock deployment.

    Args:
        processes: where its processes are kept.
        folder: for its files.
        nodes: number of SuperNodes.
    """

    link = "stock-superlink"

    def __init__(self, processes: Processes, folder: Path, nodes: int) -> None:
        self._processes, self._folder = processes, folder
        self.nodes = [f"stock-supernode-{number}" for number in range(1, nodes + 1)]
        folder.mkdir(parents=True)
        self._environment = {"FLWR_HOME": str(folder / "home")}
        self._port = free_port()
        self._start()

    def _start(self) -> None:
        environment = self._environment
        ports = ["--host", "127.0.0.1", "--port", str(self._port)]
        database = ["--database", str(self._folder / "state.db")]
        self._processes.start(
            self.link,
            script("flower-superlink", "--insecure", *ports, *database),
            environment,
        )
        self._processes.until(lambda: listening(self._port), START_SECONDS, "the stock SuperLink")
        at = ["--insecure", "--superlink", f"127.0.0.1:{self._port}"]
        for name in self.nodes:
            own = ["--host", "127.0.0.1", "--port", str(free_port())]
            self._processes.start(name, script("flower-supernode", *at, *own), environment)
        self._processes.until(
            lambda: all(ACTIVATED in self._processes.written(name) for name in self.nodes),
            START_SECONDS,
            "the stock SuperNodes",
        )

    def exchange(self, exchanges: int, vector_exchanges: int, length: int) -> dict[str, list[float]]:
        """Seconds of exchanges with all nodes: `empty`, and `vector` with `length` float32 each way.

        Raises:
            ProcessError: something did not come up, or a node did not answer in time.
        """
        app, home, out = self._folder / "app", self._folder / "home", self._folder / "exchanges.json"
        shutil.copytree(APP, app)
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(CONFIG.format(port=self._port))
        settings = {
            "nodes": len(self.nodes),
            "exchanges": exchanges,
            "vector_exchanges": vector_exchanges,
            "length": length,
            "out": json.dumps(str(out)),
        }
        config = " ".join(f"{key}={value}" for key, value in settings.items())
        self._processes.run(
            script("flwr", "run", str(app), "benchmark", "--run-config", config),
            SUBMIT_SECONDS,
            self._environment,
        )
        self._processes.until(out.exists, RUN_SECONDS, "the stock exchanges")
        result: dict[str, list[float]] = json.loads(out.read_text())
        return result

    def stop(self) -> None:
        """End it."""
        self._processes.stop(*self.nodes, self.link)
