"""`fedgen simulate` and the single stages `train`, `synthesize`, `audit`, `evaluate`, `report`.

Each command is a call of `fedgen.api`, imported inside it: `--help` should wait for nothing, and a study file with a
mistake in it not for torch, MONAI, Opacus and Flower.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.cli.agreed import Yes, advice, agreed, known_patients
from fedgen.cli.hints import NEW_RUN, SIMULATE
from fedgen.cli.patients import Patients
from fedgen.cli.preview_option import Previews
from fedgen.errors import StudyError
from fedgen.run.hints import speak_as

if TYPE_CHECKING:
    from rich.console import Console

    from fedgen.run_view import RunView

Pretrained = Annotated[
    Path | None,
    typer.Option(
        "--pretrained",
        "--prior",
        metavar="FILE",
        help="The weights that the study's model.pretrained names, or the prior of its model.prior.",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME[:WHERE]",
        help="Tell a tracker of the run: tensorboard, or mlflow:URI; may be repeated.",
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo-20260101T120000Z.")
]


def simulate(
    file: Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a preset.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Folder of the images; several times for images in several folders."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the run folder is made.")] = Path("runs"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest unfinished run of this study.")
    ] = False,
    pretrained: Pretrained = None,
    page: Annotated[
        bool, typer.Option("--page", help="Show it as a page in a browser of this machine, until Ctrl-C.")
    ] = False,
    page_port: Annotated[
        int, typer.Option("--page-port", min=0, max=65535, help="Port of the page, a free one by default.")
    ] = 0,
    patients: Patients = None,
    yes: Yes = False,
    track: Track = None,
    previews: Previews = None,
) -> None:
    """Run a whole study on this machine: virtual sites train, then synthesis, audit, evaluation, report."""
    from rich.console import Console

    from fedgen.api.loud import loud
    from fedgen.api.simulate import begin, made_ready, require_folder, require_trackers, unfinished_run
    from fedgen.api.study_given import study as study_of

    speak_as(NEW_RUN)
    study = study_of(file, overrides or (), patients=patients or (), phantom=not data)
    folders = data or []
    for folder in () if resume else folders:
        require_folder(folder, "--data")

    require_trackers(track or ())
    console = Console()
    # A run that is gone on with may have no training before it.
    with nullcontext() if resume else made_ready(study, folders):
        known = known_patients(study, patients, phantom=not data)
        accepted = agreed(console, study, known, yes)
        made = unfinished_run(study, out, pretrained) if resume else begin(study, folders, out, pretrained)
        if resume and folders and tuple(folder.absolute() for folder in folders) != made.data:
            given = " ".join(f"--data {folder}" for folder in folders)
            raise StudyError(
                f"--resume goes on with the data {made.path} was started with, not with {given}: leave --data away."
            )
        speak_as(SIMULATE)
        console.print(f"{study.study.name}  ->  {made.path}", highlight=False, soft_wrap=True)
        for sentence in (*loud(study), *advice(file, overrides or (), study, known)):
            console.print(sentence, style="bold yellow", highlight=False, soft_wrap=True)

        def stages() -> None:
            made.go_on(accept_useless=accepted, track=track or (), previews=previews)
            print_result(console, made.view)

        if page:
            from fedgen.cli.with_page import run_with_page

            tracked = [part for each in track or () for part in ("--track", each)]
            run_with_page(made, console, page_port, stages, tracked)
        else:
            stages()


def print_result(console: Console, view: RunView) -> None:
    """Findings, privacy, verdict and where the report is."""

    def say(sentence: str, style: str | None = None) -> None:
        console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)

    summary = view.summary
    for finding in summary.findings:
        say(f"note: {finding}", "yellow")
    if summary.privacy is not None:
        say(f"privacy: {summary.privacy.statement}")
    if summary.audit is not None:
        say(f"audit: {summary.audit.verdict}. {' '.join(summary.audit.reasons)}")
    say(f"report: {view.run.path / 'report.html'}")


def again(path: Path, stage: str, pretrained: Path | None = None, *, accepted: bool = False) -> None:
    """Run one stage of a run, done or not.

    Raises:
        StudyError: its study has no such stage.
    """
    from fedgen.api.open_run import Run

    Run(path).again(stage, pretrained=pretrained, accept_useless=accepted)


def train(run: RunFolder, pretrained: Pretrained = None, yes: Yes = False) -> None:
    """Train, from the newest checkpoint of a run."""
    again(run, "train", pretrained, accepted=yes)


def synthesize(run: RunFolder) -> None:
    """Draw the synthetic set of a trained run anew."""
    again(run, "synthesize")


def evaluate(run: RunFolder) -> None:
    """Audit and evaluate a run's model and synthetic set anew: sites answer one question, with both."""
    again(run, "assess")


def report(run: RunFolder) -> None:
    """Write a run's report anew."""
    again(run, "report")
