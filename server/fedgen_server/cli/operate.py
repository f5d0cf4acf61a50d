"""`fedgen-server start`, `run`, `resume` and `stop`: the server, and studies over it.

What is heavy is imported inside the commands: `--help`, and a study file with a mistake in it, should wait for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.cli.agreed import Yes, advice, agreed, known_patients
from fedgen.cli.patients import Patients
from fedgen.cli.preview_option import Previews
from fedgen.cli.runs import Pretrained, Track
from fedgen.errors import StudyError
from fedgen.run.hints import speak_as
from fedgen_server.cli.options import DEFAULT_FOLDER, Folder
from fedgen_server.hints import CONDUCTING

if TYPE_CHECKING:
    from rich.console import Console

    from fedgen_server.folder import Federation
    from fedgen_server.studies import StudyEntry

Run = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", help="A run folder, its name, or a study's name; the newest unfinished by default."
    ),
]
Wait = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", help="How long to wait for sites to connect and approve."),
]
WAIT = 3600.0


def start(folder: Folder = DEFAULT_FOLDER) -> None:
    """Serve the sites until stopped: run it as a service, or in a terminal of its own."""
    from fedgen_server.folder import Federation

    federation = Federation.open(folder)
    config = federation.config
    typer.echo(
        f"{config.name} listens on {config.host}, port {config.port}; sites reach it at {config.address}. "
        "Stop it with Ctrl-C.\n"
        "Watch it in a browser with the link that `fedgen-server page` prints."
    )
    from fedgen_server.serve import serve

    serve(federation)


def run(
    file: Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a preset.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study.")
    ] = None,
    sites: Annotated[
        str | None, typer.Option("--sites", metavar="A,B,C", help="Its roster; all members by default.")
    ] = None,
    pretrained: Pretrained = None,
    wait: Wait = WAIT,
    patients: Patients = None,
    yes: Yes = False,
    track: Track = None,
    previews: Previews = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Sign a study, offer it to the sites, and train it to its report once they have approved."""
    from rich.console import Console

    from fedgen.api.study_given import study as study_of
    from fedgen_server.folder import Federation

    federation = Federation.open(folder)
    study = study_of(file, overrides or (), patients=patients or ())
    names = None if sites is None else [name.strip() for name in sites.split(",") if name.strip()]

    from fedgen.api.simulate import require_trackers
    from fedgen_server.conduct import publish

    require_trackers(track or ())
    console, known = Console(), known_patients(study, patients)
    accepted = agreed(console, study, known, yes)
    entry = publish(federation, study, names, pretrained)
    console.print(f"{study.study.name}  ->  {entry.run}", highlight=False, soft_wrap=True)
    _loud(console, entry, advice(file, overrides or (), study, known))
    console.print(
        f"Each site approves it with: fedgen-client approve {study.study.name}",
        highlight=False,
        soft_wrap=True,
    )
    _conduct(console, federation, entry, wait, accepted, track or (), previews)


def resume(
    run: Run = None,
    wait: Wait = WAIT,
    yes: Yes = False,
    track: Track = None,
    previews: Previews = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Go on with a run that was stopped or killed, from its last finished round."""
    from rich.console import Console

    from fedgen_server.folder import Federation

    federation = Federation.open(folder)
    entry = find_run(federation, run)
    console = Console()
    console.print(f"Resuming {entry.run}", highlight=False, soft_wrap=True)
    _loud(console, entry)
    _conduct(console, federation, entry, wait, yes, track or (), previews)


def stop(run: Run = None, folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop a run cleanly; `resume` goes on with it."""
    from fedgen.run.directory import RunDirectory
    from fedgen_server.conduct_lock import stop_conductor
    from fedgen_server.folder import Federation

    entry = find_run(Federation.open(folder), run)

    if stop_conductor(RunDirectory(Path(entry.run))):
        typer.echo(
            f"Told the process that conducts {entry.run} to stop; `fedgen-server resume` goes on with it."
        )
    else:
        typer.echo(f"No process conducts {entry.run} now.")


def find_run(federation: Federation, wanted: str | None) -> StudyEntry:
    """The study whose run is meant.

    Raises:
        StudyError: none or several are meant.
    """
    studies = federation.studies.all() if wanted else federation.studies.open()
    found = [
        entry
        for entry in studies.values()
        if wanted is None
        or wanted == Path(entry.run).name
        or Path(wanted).absolute() == Path(entry.run)
        or wanted == entry.manifest.study["study"]["name"]
    ]
    found.sort(key=lambda entry: entry.manifest.created)
    if not found:
        known = ", ".join(Path(entry.run).name for entry in studies.values()) or "none"
        what = "unfinished run" if wanted is None else f"run {wanted!r}"
        raise StudyError(
            f"This federation has no {what} (its runs: {known}): start one with `fedgen-server run`."
        )
    return found[-1]


def _loud(console: Console, entry: StudyEntry, more: Sequence[str] = ()) -> None:
    from fedgen.api.loud import loud

    for sentence in (*loud(entry.manifest.to_study()), *more):
        console.print(sentence, style="bold yellow", highlight=False, soft_wrap=True)


def _conduct(
    console: Console,
    federation: Federation,
    entry: StudyEntry,
    wait: float,
    accepted: bool = False,
    track: Sequence[str] = (),
    previews: float | None = None,
) -> None:
    from fedgen.api.display import Display
    from fedgen.cli.runs import print_result
    from fedgen.run.directory import RunDirectory
    from fedgen.run.preview_file import choose_previews
    from fedgen.run_view import RunView
    from fedgen.tracking.follow import aloud, tracking
    from fedgen.tracking.registry import tracker_choice
    from fedgen_server.conduct import conduct

    speak_as(CONDUCTING)
    choices = [tracker_choice(each) for each in track]
    if previews is not None:
        choose_previews(RunDirectory(Path(entry.run)), previews)
    told = tracking(RunDirectory(Path(entry.run)), choices, aloud) if choices else nullcontext()
    with told, Display(console) as display:
        work = conduct(federation, entry, display.watcher, display.say, wait, accepted)
    print_result(console, RunView(work.run))
