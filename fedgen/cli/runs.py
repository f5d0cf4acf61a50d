"""`fedgen simulate` and the single stages `train`, `synthesize`, `audit`, `evaluate`, `report`.

The pipeline is imported inside the commands: with it come torch, MONAI, Opacus and Flower, which take seconds to
load, and neither `fedgen --help` nor a study file with a mistake in it should wait for them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fedgen.cli.hints import NEW_RUN, SIMULATE
from fedgen.errors import StudyError
from fedgen.run.hints import speak_as
from fedgen.study.load import load_study
from fedgen.study.study import Study

if TYPE_CHECKING:
    from fedgen.cli.display import Display
    from fedgen.pipeline.workspace import Workspace

Pretrained = Annotated[
    Path | None,
    typer.Option("--pretrained", metavar="FILE", help="The weights that the study's model.pretrained names."),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo-20260101T120000Z.")]


def add_to(app: typer.Typer) -> None:
    """Put the commands of this file on the main application."""
    app.command()(simulate)
    app.command()(train)
    app.command()(synthesize)
    app.command()(audit)
    app.command()(evaluate)
    app.command()(report)


def simulate(
    file: Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a preset.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the images.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the run folder is made.")] = Path("runs"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest unfinished run of this study.")
    ] = False,
    pretrained: Pretrained = None,
) -> None:
    """Run a whole study on this machine: virtual sites train, then synthesis, audit, evaluation, report."""
    speak_as(NEW_RUN)
    study = load_study(file, overrides or ())
    if data is not None and not resume and not data.is_dir():
        raise StudyError(f"--data {data} is not a folder: give the folder that holds the images.")

    from fedgen.cli.display import Display
    from fedgen.pipeline.pretrained_start import add_start
    from fedgen.pipeline.simulate import run_stages, unfinished
    from fedgen.pipeline.workspace import Workspace

    console = Console()
    if resume:
        work = unfinished(study, out)
        add_start(work.run, study, pretrained)
        if data is not None and data.absolute() != work.folder:
            raise StudyError(
                f"--resume goes on with the data {work.run.path} was started with, not with --data {data}: "
                "leave --data away."
            )
    else:
        work = Workspace.create(study, data, out, pretrained)
    speak_as(SIMULATE)
    console.print(f"{study.study.name}  ->  {work.run.path}", highlight=False, soft_wrap=True)
    for sentence in loud(study):
        console.print(sentence, style="bold yellow", highlight=False, soft_wrap=True)
    with Display(console) as display:
        run_stages(work, display.watcher)
    print_result(console, work)


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
    if study.model.pretrained is not None:
        sentences.append(
            f"NOTE: training starts from pretrained weights, about whose data this study's privacy says nothing: "
            f"{study.model.pretrained.source}"
        )
    return sentences


def print_result(console: Console, work: Workspace) -> None:
    """Findings, privacy, verdict and where the report is."""
    summary = work.run.read_json("run.json")
    for finding in summary["findings"]:
        console.print(f"note: {finding}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"privacy: {summary['privacy']['statement']}", markup=False, highlight=False, soft_wrap=True
    )
    reasons = " ".join(summary["audit"]["reasons"])
    console.print(
        f"audit: {summary['audit']['verdict']}. {reasons}", markup=False, highlight=False, soft_wrap=True
    )
    console.print(f"report: {work.run.path / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _stage(path: Path, name: str, action: Callable[[Workspace, Display], None]) -> None:
    from fedgen.cli.display import Display
    from fedgen.pipeline.simulate import guarded, timed
    from fedgen.pipeline.workspace import Workspace

    work = Workspace.open(path)
    with Display(Console()) as display, guarded(work):
        display.watcher.stage(name)
        with timed(work, name):
            action(work, display)
        done = (work.run.path / "report.html").exists()
        work.run.update_summary(status="done" if done else "running")


def train(run: Run, pretrained: Pretrained = None) -> None:
    """Train, from the newest checkpoint of a run."""
    from fedgen.pipeline import stages
    from fedgen.pipeline.pretrained_start import add_start

    def action(work: Workspace, display: Display) -> None:
        add_start(work.run, work.study, pretrained)
        stages.train(work, display.watcher.round)

    _stage(run, "train", action)


def synthesize(run: Run) -> None:
    """Draw the synthetic set of a trained run anew."""
    from fedgen.pipeline import stages

    _stage(run, "synthesize", lambda work, display: stages.synthesize(work, display.watcher.sample))


def audit(run: Run) -> None:
    """Audit a run's model and synthetic set anew."""
    from fedgen.pipeline import stages

    _stage(run, "audit", lambda work, display: stages.audit(work))


def evaluate(run: Run) -> None:
    """Evaluate a run's synthetic set anew."""
    from fedgen.pipeline import stages

    _stage(run, "evaluate", lambda work, display: stages.evaluate(work))


def report(run: Run) -> None:
    """Write a run's report anew."""
    from fedgen.cli.display import Display
    from fedgen.pipeline.simulate import rewrite_report
    from fedgen.pipeline.workspace import Workspace

    work = Workspace.open(run)
    with Display(Console()) as display:
        display.watcher.stage("report")
        rewrite_report(work)
