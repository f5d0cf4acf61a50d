"""All that `fedgen-server status` knows, as one JSON object: sites, runs, how far and how long still."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from fedgen.run.directory import RunDirectory
from fedgen.run_view import RunView
from fedgen_server.conduct_lock import is_conducted
from fedgen_server.folder import Federation
from fedgen_server.studies import StudyEntry
from fedgen_server.study_status import study_status

Json = dict[str, Any]


def overview(federation: Federation) -> Json:
    """The federation now.

    Returns:
        `federation`, `address`, `serving`, `sites` (name, state, online, last_seen) and `runs` (study, run, state,
        round, rounds, sites, epsilon, seconds_a_round, eta_seconds, conducted).
    """
    return {
        "federation": federation.config.name,
        "address": federation.config.address,
        "serving": federation.is_served(),
        "sites": _sites(federation),
        "runs": [_run(entry) for entry in federation.studies.all().values()],
    }


def _sites(federation: Federation) -> list[Json]:
    nodes: dict[int, Any] = {}
    if federation.paths.database.exists():
        from fedgen.flower.state import open_state
        from fedgen.flower.superlink import presence

        nodes = presence(open_state(federation.paths.database))
    rows = []
    for name, site in sorted(federation.sites.all().items()):
        node = nodes.get(site.node_id)
        online = site.active and node is not None and node.online
        rows.append(
            {
                "site": name,
                "state": "member" if site.active else "removed",
                "online": online,
                "last_seen": None if node is None else node.last_seen,
            }
        )
    return rows


def _run(entry: StudyEntry) -> Json:
    view = RunView(RunDirectory(Path(entry.run)))
    known = study_status(entry, view)
    # Shown, not computed from: a damaged line elsewhere must not hide how far all runs are.
    rounds = view.rounds
    seconds = statistics.median([done.seconds for done in rounds]) if rounds else None
    last = rounds[-1] if rounds else None
    left = known.rounds - known.round
    return {
        "study": known.name,
        "run": str(view.run.path),
        "state": known.state,
        "conducted": is_conducted(view.run),
        "round": known.round,
        "rounds": known.rounds,
        "sites": list(last.sites) if last else [],
        "roster": sorted(entry.sites),
        "epsilon": last.epsilon if last else None,
        "seconds_a_round": seconds,
        "eta_seconds": None if seconds is None or known.state == "done" else round(left * seconds, 1),
    }
