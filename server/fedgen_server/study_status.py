"""How far each study is, read from its run folder: another process writes there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fedgen.errors import DataError
from fedgen.protocol.enrolment import StatusReply, StudyStatus
from fedgen.run.directory import RunDirectory
from fedgen.run.summary import Status
from fedgen.run_view import RunView
from fedgen_server.folder import Federation
from fedgen_server.studies import StudyEntry


def federation_status(federation: Federation, site: str) -> StatusReply:
    """Numbers about the federation and the studies on offer."""
    return StatusReply(
        federation=federation.config.name,
        sites=len(federation.sites.active()),
        studies=[study_status(entry) for entry in federation.studies.open().values() if site in entry.sites],
    )


def study_status(entry: StudyEntry, view: RunView | None = None) -> StudyStatus:
    """How far one study is; `view` of its run, where the caller has it already."""
    manifest = entry.manifest
    view = view or RunView(RunDirectory(Path(entry.run)))
    return StudyStatus(
        name=str(manifest.study["study"]["name"]),
        study_sha256=manifest.study_sha256,
        state=_state(view),
        round=max((done.round for done in view.rounds), default=0),
        rounds=manifest.to_study().total_rounds,
        sites=len(manifest.roster),
    )


def _state(view: RunView) -> Status | Literal["offered"]:
    try:
        return view.summary.status or "offered"
    except DataError:
        # Who reads the run itself is told where it is damaged.
        return "offered"
