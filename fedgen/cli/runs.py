"""`fedgen simulate` and the single stages `train`, `synthesize`, `audit`, `evaluate`, `report`.

The pipeline is imported inside the commands: with it come torch, MONAI, Opacus and Flower, which take seconds to
load, and neither `fedgen --help` nor a study file with a mistake in it should wait for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fedgen.cli.agreed import Yes, advice, agreed, known_patients
from fedgen.cli.hints import NEW_RUN, SIMULATE
from fedgen.cli.patients import Patients, settle
from fedgen.errors import StudyError
from fedgen.run.hints import speak_as
from fedgen.study.load import load_study
from fedgen.study.study import Study

if TYPE_CHECKING:
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
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo-20260101T120000Z.")]


def add_to(app: typer.Typer) -> None:
    """Put the commands of this file on the main application."""
    app.command()(simulate)
    app.command()(train)
    app.command()(synthesize)
    app.command()(evaluate)
    app.command()(report)


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
) -> None:
    """Run a whole study on this machine: virtual sites train, then synthesis, audit, evaluation, report."""
    speak_as(NEW_RUN)
    study = load_study(file, overrides or (), settle(patients, phantom=not data))
    folders = data or []
    for folder in () if resume else folders:
        if not folder.is_dir():
            raise StudyError(f"--data {folder} is not a folder: give the folder that holds the images.")

    from fedgen.cli.display import Display
    from fedgen.pipeline.pretrained_start import add_start
    from fedgen.pipeline.runner import run_stages
    from fedgen.pipeline.simulation import Simulation, unfinished
    from fedgen.run_view import RunView

    console = Console()
    known = known_patients(study, patients, phantom=not data)
    accepted = agreed(console, study, known, yes)
    if resume:
        here = unfinished(study, out, accepted=accepted)
        add_start(here.work.run, study, pretrained)
        if folders and [folder.absolute() for folder in folders] != [here.folder, *here.more]:
            given = " ".join(f"--data {folder}" for folder in folders)
            raise StudyError(
                f"--resume goes on with the data {here.work.run.path} was started with, not with {given}: "
                "leave --data away."
            )
    else:
        here = Simulation.create(
            study, folders[0] if folders else None, out, pretrained, accepted=accepted, more=folders[1:]
        )
    work = here.work
    speak_as(SIMULATE)
    console.print(f"{study.study.name}  ->  {work.run.path}", highlight=False, soft_wrap=True)
    for sentence in (*loud(study), *advice(file, overrides or (), study, known)):
        console.print(sentence, style="bold yellow", highlight=False, soft_wrap=True)

    def stages() -> None:
        with Display(console) as display:
            run_stages(here, display.watcher)
        print_result(console, RunView(work.run))

    if page:
        from fedgen.cli.with_page import run_with_page

        run_with_page(here, console, page_port, stages)
    else:
        stages()


def loud(study: Study) -> list[str]:
    """What a study switched off and everyone should see."""
    sentences = []
    if not study.privacy.private:
        sentences.append(
            "WARNING: privacy.mode is none. Nothing bounds what this model and its images reveal about patients."
        )
    if not study.aggregation.secure:
        sentences.append(
            "WARNING: aggregation.secure is off. The coordinator sees the update of each single site."
        )
    if study.privacy.allow_large_delta:
        sentences.append(
            "WARNING: privacy.allow_large_delta is on. The delta may permit publishing a whole patient."
        )
    prior = study.model.prior
    if prior is not None and prior.phantom is not None:
        sentences.append(f"NOTE: training stands on a public prior of {prior.words}.")
    elif study.model.start is not None:
        what = "stands on a public prior" if prior is not None else "starts from pretrained weights"
        sentences.append(
            f"NOTE: training {what}, about whose data this study's privacy says nothing: {study.model.start.words}"
        )
    return sentences


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


def again(path: Path, name: str, pretrained: Path | None = None, *, accepted: bool = False) -> None:
    """Run one stage of a run, done or not.

    Raises:
        StudyError: its study has no such stage.
    """
    from fedgen.cli.display import Display
    from fedgen.pipeline.pretrained_start import add_start
    from fedgen.pipeline.runner import run_again
    from fedgen.pipeline.simulation import Simulation
    from fedgen.pipeline.stages import stages_of

    here = Simulation.open(path, accepted=accepted)
    stage = next((stage for stage in stages_of(here.work) if stage.name == name), None)
    if stage is None:
        raise StudyError(
            f"{path} has no stage {name}, because its study translates: its release is the model (folder model), which "
            "`fedgen translate` uses."
        )
    add_start(here.work.run, here.work.study, pretrained)
    with Display(Console()) as display:
        run_again(here, stage, display.watcher)


def train(run: Run, pretrained: Pretrained = None, yes: Yes = False) -> None:
    """Train, from the newest checkpoint of a run."""
    again(run, "train", pretrained, accepted=yes)


def synthesize(run: Run) -> None:
    """Draw the synthetic set of a trained run anew."""
    again(run, "synthesize")


def evaluate(run: Run) -> None:
    """Audit and evaluate a run's model and synthetic set anew: sites answer one question, with both."""
    again(run, "assess")


def report(run: Run) -> None:
    """Write a run's report anew."""
    from fedgen.cli.display import Display
    from fedgen.pipeline.runner import rewrite_report
    from fedgen.pipeline.workspace import Workspace

    with Display(Console()) as display:
        rewrite_report(Workspace.open(run), display.watcher)
