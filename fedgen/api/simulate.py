"""`fedgen.simulate(...)`: a whole study on this machine, from the data to the report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen.api.loud import ProtectionWarning, loud
from fedgen.api.open_run import Run
from fedgen.api.study_given import StudySource
from fedgen.api.study_given import study as study_of
from fedgen.errors import StudyError
from fedgen.federation.simulation.engine_ahead import engine_ahead
from fedgen.run.preview_file import require_percent
from fedgen.study.study import Study

if TYPE_CHECKING:
    from fedgen.api.progress import Progress
    from fedgen.schema.overrides import Overrides

#: One folder, or several.
Folders = str | PathLike[str] | Sequence[str | PathLike[str]]


def simulate(
    study: StudySource,
    *,
    data: Folders | None = None,
    out: str | PathLike[str] = "runs",
    overrides: Overrides = (),
    pretrained: str | PathLike[str] | None = None,
    patients: Sequence[int] = (),
    accept_useless: bool = False,
    progress: Progress = True,
    track: Sequence[str] = (),
    previews: float | None = None,
) -> Run:
    """Run a whole study on this machine: virtual sites train, then synthesis, audit, evaluation, report.

    What the study switches off is a `ProtectionWarning`. A run that was stopped goes on with `Run.go_on`.

    Args:
        study: as `fedgen.study` takes it.
        data: the folder of the images, or several; None where the study makes up its own.
        out: where the run's folder is made.
        overrides: values by dotted key.
        pretrained: file of the weights, or of the prior, that the study names.
        patients: training patients of each site, by which `model.family: auto` is settled.
        accept_useless: whether it is wanted although nothing useful is to be expected of it.
        progress: True for a bar, False for nothing, or a function that is told each moment.
        track: trackers that are told of it, such as `tensorboard` or `mlflow:http://localhost:5000`.
        previews: percent of the rounds' time that pictures of the model in training may take, 0 for none; 5 where None.

    Raises:
        StudyError: the study is wrong, or not to be had here; there is no such tracker, or previews is no percentage.
        DataError: the images cannot be used, or the disk is full.
        PrivacyRefusedError: nothing useful is to be expected, or a budget is spent.
        FederationError: the sites could not be reached.
        KeyboardInterrupt: the run was stopped, and can be gone on with.
    """
    settled = study_of(study, overrides, patients=patients, phantom=data is None)
    for sentence in loud(settled):
        warnings.warn(sentence, ProtectionWarning, stacklevel=2)
    require_trackers(track)
    require_percent(previews)
    given = folders(data)
    with made_ready(settled, given):
        run = begin(settled, given, Path(out), None if pretrained is None else Path(pretrained))
        run.go_on(accept_useless=accept_useless, progress=progress, track=track, previews=previews)
    return run


def made_ready(study: Study, data: Sequence[Path]) -> AbstractContextManager[None]:
    """The engine of the virtual sites is started beside what the block does, which is `begin` and `Run.go_on`.

    Args:
        study, data: as of `begin`.
    """
    # Other images are to say of how many sites they are.
    return engine_ahead(None if data or study.data.phantom is None else study.data.phantom.sites)


def folders(data: Folders | None) -> list[Path]:
    """The folders that were given, each of which is there.

    Raises:
        StudyError: one is not.
    """
    if data is None:
        return []
    found = [Path(data)] if isinstance(data, str | PathLike) else [Path(each) for each in data]
    for folder in found:
        require_folder(folder)
    return found


def require_folder(folder: Path, name: str = "data") -> None:
    """Raise StudyError where a folder of images is none; `name` is what it was given as."""
    if not folder.is_dir():
        raise StudyError(f"{name} {folder} is not a folder: give the folder that holds the images.")


def require_trackers(track: Sequence[str]) -> None:
    """Raise StudyError where a tracker is not to be had, before there is a run."""
    if track:
        from fedgen.tracking.registry import tracker_choice

        for each in track:
            tracker_choice(each)


def begin(study: Study, data: Sequence[Path], out: Path, pretrained: Path | None = None) -> Run:
    """A new run, of which nothing is done yet.

    Args:
        study: as it is to run.
        data: folders of images; none where the study makes up its own.
        out: folder of runs.
        pretrained: file of the weights that it starts from, where the study names some.

    Raises:
        StudyError, DataError: the run's folder cannot be made, or what it starts from cannot be used.
    """
    from fedgen.pipeline.simulation import Simulation

    here = Simulation.create(study, data[0] if data else None, out, pretrained, more=data[1:])
    return Run(here.work.run.path)


def unfinished_run(study: Study, out: Path, pretrained: Path | None = None) -> Run:
    """The newest run of this very study under `out` that is not done.

    Raises:
        DataError: there is none.
        StudyError: other weights are given than it was started with.
    """
    from fedgen.pipeline.pretrained_start import add_start
    from fedgen.pipeline.simulation import unfinished

    here = unfinished(study, out)
    add_start(here.work.run, study, pretrained)
    return Run(here.work.run.path)
