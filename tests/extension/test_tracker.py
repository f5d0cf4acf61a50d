"""A tracker is one file: put into its folder `--track` knows it, and it is told of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedgen.errors import StudyError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Done, RoundDone, RoundLoss
from fedgen.study.show import dump_study
from fedgen.study.study import Study
from fedgen.tracking.follow import tracking
from fedgen.tracking.registry import tracker_choice

KINDS = ("a tracker",)
TRACKER = """
from pathlib import Path
from fedgen.tracking.contract import Tracker

class Lines(Tracker):
    def __init__(self, path):
        self.path = path

    @classmethod
    def open(cls, run, where):
        return cls(Path(where))

    def say(self, line):
        with self.path.open("a") as file:
            file.write(f"{line}\\n")

    def numbers(self, values, step):
        self.say(f"{step} {values['loss/vae']}")

    def picture(self, name, png, step):
        self.say(name)

    def file(self, name, content):
        self.say(name)

    def close(self, status):
        self.say(status)
"""


def test_a_tracker_is_one_file(
    add: Callable[[str, str, str], None], tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="There is no tracker 'lines': choose one of mlflow, tensorboard"):
        tracker_choice("lines")
    add("fedgen.tracking.trackers", "lines", TRACKER)
    choice = tracker_choice(f"lines:{tmp_path / 'told'}")
    run = RunDirectory.create(tmp_path, "tiny")
    run.study.write_text(dump_study(tiny_study()))
    said: list[str] = []
    with tracking(run, [choice], said.append):
        losses = {"vae": RoundLoss(value=1.5, std=0.0)}
        run.event(RoundDone(round=1, losses=losses, epsilon=None, sites=("north",), seconds=1.0))
        run.event(Done())
    assert said == []
    told = (tmp_path / "told").read_text().splitlines()
    assert told == ["1 1.5", "study.yaml", "report.html", "done"]
