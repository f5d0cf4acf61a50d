"""What a stage works with: the run directory, its study, and what earlier stages left there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from fedgen.errors import DataError
from fedgen.pipeline.model import trained_networks
from fedgen.pipeline.pretrained_start import keep_start
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen.run.checkpoint import Checkpoint, latest_checkpoint
from fedgen.run.directory import RunDirectory
from fedgen.run.summary import RunSummary, update_summary
from fedgen.study.load import load_study
from fedgen.study.show import dump_study
from fedgen.study.study import Study
from fedgen.training.devices import require_study_device
from fedgen.training.pretrained import Pretrained


@dataclass(frozen=True)
class Workspace:
    """One run and its study."""

    run: RunDirectory
    study: Study

    @classmethod
    def create(cls, study: Study, out: Path, start: Pretrained | None) -> Workspace:
        """A new run folder under `out`, with the resolved study and the weights it starts from in it.

        Raises:
            DataError: the folder cannot be made or written.
            StudyError: the study asks for a device that is not there.
        """
        require_study_device(study.training.device)
        run = RunDirectory.create(out, study.study.name)
        write_atomic(run.study, dump_study(study).encode())
        keep_start(run, start)
        update_summary(run, RunSummary(status="running", study=study.study.name, seed=study.study.seed))
        return cls(run, study)

    @classmethod
    def open(cls, path: Path) -> Workspace:
        """The run in folder `path`.

        Raises:
            DataError: there is no run in that folder.
            StudyError: its study does not fit this version.
        """
        run = RunDirectory(path)
        if not run.study.is_file():
            raise DataError(f"{path} is not a run folder (it has no study.yaml): name one under runs/.")
        return cls(run, load_study(str(run.study)))

    @cached_property
    def recipe(self) -> Recipe:
        """What the study means; where it has adapters, on the weights in the run directory."""
        return Recipe.of(self.study).on_frozen(self.run.pretrained)

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, or None before training."""
        return latest_checkpoint(self.run.checkpoints, Recipe.of(self.study).sha256)

    def trained(self) -> Checkpoint:
        """The checkpoint after the last round.

        Raises:
            DataError: training has not finished.
        """
        checkpoint = self.checkpoint()
        if checkpoint is None or checkpoint.round < self.study.total_rounds:
            done = 0 if checkpoint is None else checkpoint.round
            raise DataError(
                f"{self.run.path} has finished {done} of {self.study.total_rounds} rounds: "
                "train it to its end first."
            )
        return checkpoint

    def networks(self, weights: Tensor) -> dict[str, nn.Module]:
        """The family's networks with `weights`, in eval mode on the study's device.

        Raises:
            StudyError: this machine does not have it.
        """
        require_study_device(self.study.training.device)
        return trained_networks(self.recipe, weights, self.study.training.device)
