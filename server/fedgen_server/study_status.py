"""How far each study is, read from its run folder: another process writes there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast, get_args

from fedgen.errors import DataError
from fedgen.protocol.enrolment import StatusReply, StudyStatus
from fedgen.run.directory import Json, RunDirectory
from fedgen_server.folder import Federation
from fedgen_server.studies import StudyEntry

State = Literal["offered", "running", "done", "failed", "interrupted"]


def federation_status(federation: Federation, site: str) -> StatusReply:
    """Numbers about the federation and the studies on offer."""
    return StatusReply(
        federation=federation.config.name,
        sites=len(federation.sites.active()),
        studies=[study_status(entry) for entry in federation.studies.open().values() if site in entry.sites],
    )


def study_status(entry: StudyEntry) -> StudyStatus:
    """How far one study is."""
    manifest = entry.manifest
    run = RunDirectory(Path(entry.run))
    summary = _summary(run)
    state = summary.get("status", "offered")
    rounds = [entry.get("round") for entry in run.journal.entries() if entry["event"] == "round"]
    return StudyStatus(
        name=str(manifest.study["study"]["name"]),
        study_sha256=manifest.study_sha256,
        state=cast(State, state) if state in get_args(State) else "running",
        round=max((round for round in rounds if isinstance(round, int)), default=0),
        rounds=manifest.to_study().total_rounds,
        sites=len(manifest.roster),
    )


def _summary(run: RunDirectory) -> Json:
    try:
        return run.read_json("run.json")
    except DataError:
        # Not written yet; who reads the run itself is told where it is damaged.
        return {}
