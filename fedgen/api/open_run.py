"""`fedgen.open_run(...)`: a run on disk, to look at, to go on with, and to use what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen.errors import DataError, StudyError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Event
from fedgen.run.row import Row
from fedgen.run.summary import RunSummary, Status
from fedgen.run_view import RunView
from fedgen.study.study import Study

if TYPE_CHECKING:
    import pandas
    from torch import Tensor

    from fedgen.api.progress import Progress
    from fedgen.api.report_page import ReportPage
    from fedgen.synthesis.released_images import ReleasedImages


class Run:
    """A run in its folder. Whatever is asked for is read from there, as it is at that moment.

    >>> run = Run(done)
    >>> run.status, run.study.study.name
    ('done', 'tiny')
    >>> len(run.samples()), run.summary.audit is not None
    (8, True)
    >>> run.evidence[0].title
    'Copy detection'

    Args:
        path: its folder, such as runs/demo-20260101T120000Z.

    Raises:
        DataError: there is no run in that folder.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        if not RunDirectory(self.path).study.is_file():
            raise DataError(f"{self.path} is not a run folder (it has no study.yaml): name one under runs/.")

    def __repr__(self) -> str:
        """Its folder, and how far it is."""
        return f"<Run {self.path}: {self.status or 'begun'}>"

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.view.name

    @property
    def view(self) -> RunView:
        """Every file of the run, read when it is first asked for, and then kept: take another one to look again."""
        return RunView(RunDirectory(self.path))

    @property
    def study(self) -> Study:
        """What was asked, with every default filled in."""
        found = self.view.study
        assert found is not None
        return found

    @property
    def data(self) -> tuple[Path, ...]:
        """Folders of images that a simulation was started with; none where its study makes up its own."""
        from fedgen.run.source_file import SourceFile

        found = SourceFile.read(RunDirectory(self.path))
        return () if found.source is None else (Path(found.source), *map(Path, found.more))

    @property
    def summary(self) -> RunSummary:
        """run.json: sites, privacy, verdict, seconds of each stage."""
        return self.view.summary

    @property
    def status(self) -> Status | None:
        """`running` (also of a run that was killed), `done`, `failed` or `interrupted`."""
        return self.summary.status

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far, in order: rounds with their losses and epsilon, sites that were missing, and so on."""
        return self.view.events_so_far

    @property
    def evidence(self) -> tuple[Row, ...]:
        """Audits and metrics over the sites, each with the parts of single sites; empty before the assessment."""
        return self.view.rows

    def rows(self) -> pandas.DataFrame | list[Row]:
        """The evidence as a table with a line for each value, where pandas is installed; else the rows themselves.

        The columns are those of `fedgen.api.row_table.ValueLine`.
        """
        view = self.view
        try:
            from pandas import DataFrame
        except ImportError:
            return list(view.rows)
        from fedgen.api.row_table import ValueLine, value_lines

        return DataFrame(value_lines(view.rows, view.pooled), columns=list(ValueLine._fields))

    def samples(
        self, form: str | None = None, transform: Callable[[Tensor], Tensor] | None = None
    ) -> ReleasedImages:
        """The synthetic images as a torch data set of (image, label, geometry).

        Args:
            form: `png`, `nifti` or `dicom`; where None, the one of those written that says most of its images.
            transform: applied to each image, a tensor (C, *size).

        Raises:
            DataError: none are drawn yet, or none in this format.
        """
        from fedgen.synthesis.released_images import load_release

        return load_release(self.path, form, transform)

    def report(self, *, patients: bool = True) -> ReportPage:
        """The report, made of the run as it stands; the last value of a notebook's cell shows it there.

        Args:
            patients: whether pictures of patients, which a simulation has, are in it: a notebook that is saved keeps
                them.

        Raises:
            DataError: a file of the run is damaged.
        """
        from fedgen.api.report_page import ReportPage
        from fedgen.report.page import render

        return ReportPage(self.path / "report.html", render(self.view, patients=patients))

    def go_on(
        self,
        *,
        accept_useless: bool = False,
        progress: Progress = True,
        track: Sequence[str] = (),
        previews: float | None = None,
    ) -> None:
        """Do what is not done yet, of a simulation; nothing is charged twice, and a run that is done is reported anew.

        Args:
            accept_useless: whether it is wanted although nothing useful is to be expected of it.
            progress: True for a bar, False for nothing, or a function that is told each moment.
            track: trackers that are told of it, such as `tensorboard` or `mlflow:http://localhost:5000`; one that fails
                is a sentence on standard error, and never stops the run.
            previews: percent of the rounds' time that pictures of the model in training may take, 0 for none; where
                None, as it was chosen before, or 5.

        Raises:
            StudyError: there is no such tracker, or it is not installed; or previews is no percentage.
            DataError: its data are at the sites of a federation, whose coordinator alone goes on with it.
            FedgenError: a stage failed; the summary says which, and a later call goes on from there.
            KeyboardInterrupt: likewise.
        """
        from fedgen.api.progress import watching
        from fedgen.pipeline.runner import run_stages
        from fedgen.pipeline.simulation import Simulation
        from fedgen.run.preview_file import choose_previews
        from fedgen.tracking.follow import aloud, tracking
        from fedgen.tracking.registry import tracker_choice

        choices = [tracker_choice(each) for each in track]
        here = Simulation.open(self.path, accepted=accept_useless)
        choose_previews(here.work.run, previews)
        with tracking(here.work.run, choices, aloud), watching(progress) as watcher:
            run_stages(here, watcher)

    def again(
        self,
        stage: str,
        *,
        pretrained: Path | None = None,
        accept_useless: bool = False,
        progress: Progress = True,
    ) -> None:
        """Run one stage of a simulation, done or not: `train`, `synthesize`, `assess`; or `report` of any run.

        Args:
            stage: its name.
            pretrained: file of the weights that the study starts from, where the run has none yet.
            accept_useless, progress: as of `go_on`.

        Raises:
            StudyError: its study has no such stage.
            FedgenError, KeyboardInterrupt: as `go_on`.
        """
        from fedgen.api.progress import tell_of_report, watching
        from fedgen.report.report_again import STAGE, report_again

        if stage == STAGE:
            tell_of_report(progress)
            report_again(RunDirectory(self.path))
            return
        from fedgen.pipeline.pretrained_start import add_start
        from fedgen.pipeline.runner import run_again
        from fedgen.pipeline.simulation import Simulation
        from fedgen.pipeline.stages import stages_of

        here = Simulation.open(self.path, accepted=accept_useless)
        found = next((each for each in stages_of(here.work) if each.name == stage), None)
        if found is None:
            raise StudyError(
                f"{self.path} has no stage {stage}, because its study translates: its release is the model (folder "
                "model), which `fedgen translate` uses."
                if here.work.study.made.translates
                else f"{self.path} has no stage {stage}: its stages are {_names(stages_of(here.work))}."
            )
        add_start(here.work.run, here.work.study, pretrained)
        with watching(progress) as watcher:
            run_again(here, found, watcher)


def _names(stages: Sequence[object]) -> str:
    return ", ".join(str(getattr(stage, "name", stage)) for stage in stages)


def open_run(path: str | PathLike[str]) -> Run:
    """The run in a folder: of a simulation, or of a federation at its coordinator.

    Raises:
        DataError: there is no run in that folder.
    """
    return Run(path)
