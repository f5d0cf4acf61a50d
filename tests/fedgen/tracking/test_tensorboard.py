"""What TensorBoard's own reader finds in the files of a run."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fedgen.run.directory import RunDirectory
from fedgen.run.events import Done, RoundDone
from fedgen.run_view import RunView
from fedgen.tracking.feed import of_rows
from fedgen.tracking.follow import tracking
from fedgen.tracking.registry import tracker_choice


def read(run: RunDirectory) -> EventAccumulator:
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    return found


def test_its_reader_finds_everything_once(run: RunDirectory) -> None:
    for _ in range(2):
        # The second is a run that is gone on with: it replaces what the first has told.
        said: list[str] = []
        with tracking(run, [tracker_choice("tensorboard")], said.append):
            run.event(Done())
        assert said == []
    found, view = read(run), RunView(run)
    rounds = [event for event in view.events if isinstance(event, RoundDone)]
    losses = found.Scalars("loss/vae")
    assert [each.step for each in losses] == [1, 2]
    for each, event in zip(losses, rounds, strict=True):
        assert each.value == pytest.approx(event.losses["vae"].value)
    epsilons = [each.value for each in found.Scalars("privacy/epsilon")]
    assert epsilons == pytest.approx([event.epsilon for event in rounds])
    for name, value in of_rows(view).items():
        assert [each.value for each in found.Scalars(name)] == pytest.approx([value]), name
    (image,) = found.Images("samples")
    assert image.step == 2 and image.width > 16
    (early,) = found.Images("preview")
    assert early.step == 1 and early.width > 16
