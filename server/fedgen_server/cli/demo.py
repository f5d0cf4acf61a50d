"""`fedgen-server demo`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedgen.api.study_given import study as study_of
from fedgen.cli.agreed import Yes, agreed, known_patients
from fedgen.cli.runs import Pretrained
from fedgen.errors import StudyError
from fedgen.run.hints import speak_as
from fedgen_server.hints import DEMO

MOST_SITES = 8


def demo(
    sites: Annotated[
        int, typer.Option("--sites", min=3, max=MOST_SITES, help="Hospitals, a process each.")
    ] = 3,
    study: Annotated[str, typer.Option("--study", help="A study file with a phantom, or a preset.")] = "demo",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study.")
    ] = None,
    pretrained: Pretrained = None,
    out: Annotated[Path, typer.Option("--out", help="Where the folder of the demonstration is made.")] = Path(
        "runs"
    ),
    yes: Yes = False,
) -> None:
    """Start a coordinator and hospitals on this machine, train a study with phantom patients, and stop everything."""
    speak_as(DEMO)
    settings = [*(overrides or ()), f"data.phantom.sites={sites}"]
    resolved = study_of(study, settings)
    if resolved.data.phantom is None:
        raise StudyError("The demonstration makes up its patients: choose a study with data.phantom.")

    from fedgen.data.phantom.write import phantom_sites
    from fedgen_server.demo import demonstrate

    console = Console()
    # Asked here, since the command `run` below has nobody to ask.
    agree = ["--yes"] if agreed(console, resolved, known_patients(resolved, None), yes) else []
    folder = out / f"federation-{resolved.study.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    run = demonstrate(
        resolved,
        phantom_sites(resolved.data.phantom),
        [_place(study), *agree, *(part for setting in settings for part in ("--set", setting))],
        folder.absolute(),
        lambda line: console.print(_short(line), style="dim", markup=False, highlight=False, soft_wrap=True),
        pretrained,
    )
    console.print(f"report: {run / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _short(line: str) -> str:
    # A token is a secret, though of a federation that ends with this command.
    return " ".join(word if len(word) < 200 else f"{word[:12]}..." for word in line.split(" "))


def _place(study: str) -> str:
    # The commands run in the demonstration's own folder.
    return str(Path(study).absolute()) if Path(study).is_file() else study
