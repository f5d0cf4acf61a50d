"""`fedgen-server release`: a federation's release, signed with its coordinator's key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.cli.releases import AcceptReview, By, acceptance_of, tell
from fedgen.run.hints import speak_as
from fedgen_server.cli.operate import find_run
from fedgen_server.cli.options import DEFAULT_FOLDER, Folder
from fedgen_server.folder import Federation
from fedgen_server.hints import COMMAND

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, its name, or a study's name.")]


def release(
    run: Run, accept_review: AcceptReview = None, by: By = None, folder: Folder = DEFAULT_FOLDER
) -> None:
    """Pack a run's release into one signed folder and archive, where its verdict and its study allow it."""
    federation = Federation.open(folder)
    entry, acceptance = find_run(federation, run), acceptance_of(accept_review, by)

    from fedgen.pipeline.sign_release import sign_release
    from fedgen.pipeline.workspace import Workspace

    speak_as(COMMAND)
    keys = {site: bytes.fromhex(key) for site, key in entry.manifest.roster.items()}
    name = f"the coordinator of {federation.config.name}"
    made = sign_release(Workspace.open(Path(entry.run)), federation.identity, name, keys, acceptance)
    federation.log.write("released", study=made.manifest.study.sha256, run=entry.run)
    tell(made)
