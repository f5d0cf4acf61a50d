"""The SuperLink's state in a SQLite file, as the server and the coordinator's other processes open it.

Private names used: `SqlLinkState` and `SqlObjectStore`. What Flower writes with every request and nobody here reads,
bytes and seconds by run, is not written; runs that have fallen silent are looked for once a second, not twice in each
request for a part of a message.
"""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from flwr.server.superlink.linkstate import LinkState
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.federation import NoOpFederationManager

SILENT_RUNS_SECONDS = 1.0

# It logs every call of every message.
logging.getLogger("flwr").setLevel(logging.WARNING)


class State(SqlLinkState):
    """Flower's, without its bookkeeping of traffic."""

    _looked_at = 0.0

    def store_traffic(self, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        """Nothing: the run's own events and the sites' logs say what was sent."""

    def add_clientapp_runtime(self, run_id: int, runtime: float) -> None:
        """Nothing."""

    def _cleanup_expired_task_tokens(self) -> None:
        if time.monotonic() >= self._looked_at + SILENT_RUNS_SECONDS:
            self._looked_at = time.monotonic()
            super()._cleanup_expired_task_tokens()


@dataclass(frozen=True)
class StateFactory:
    """What Flower's functions ask for a state: the one there is."""

    opened: LinkState

    def state(self) -> LinkState:
        """It."""
        return self.opened


def open_state(database: Path) -> LinkState:
    """Open the file, made where absent, and bring its tables up to date."""
    with warnings.catch_warnings():
        # The database's own library warns about Flower's use of it.
        warnings.simplefilter("ignore")
        objects = SqlObjectStore(str(database))
        objects.initialize()
        state = State(str(database), NoOpFederationManager(), objects)
        state.initialize()
    return state
