"""What is drawn in training changes nothing of it, costs what it may, and never fails it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from fedgen.errors import DataError, StudyError
from fedgen.families.contract import Family
from fedgen.pipeline import previews as module
from fedgen.pipeline.previews import MOST_IMAGES, MOST_PICTURES, Previews
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import TRAIN
from fedgen.pipeline.watch import SILENT
from fedgen.run.checkpoint import Checkpoint
from fedgen.run.events import NotPreviewed, Previewed
from fedgen.run.preview_file import KEPT, PreviewChoice, choose_previews, preview_path, preview_percent

Simulations = Callable[..., Simulation]


def plain(simulation: Simulations, family: str, **sections: Any) -> Simulation:
    """A run that ends the same each time: its only random numbers are the seed's."""
    return simulation(model={"family": family}, privacy={"mode": "none"}, training={"rounds": 3}, **sections)


def trained(here: Simulation, percent: float) -> Checkpoint:
    choose_previews(here.work.run, percent)
    torch.manual_seed(11)
    TRAIN.action(here, SILENT)
    return here.work.trained()


def careless(family: Family, networks: Any, given: Any, n: int, rng: torch.Generator) -> torch.Tensor:
    """A sampler with every fault: it draws from what all share, and changes what it was given."""
    torch.randn(7)
    for network in networks.values():
        for parameter in network.parameters():
            parameter.data.zero_()
    return family.sample(networks, given, n, rng)


@pytest.mark.parametrize("family", ["vae", "diffusion"])
def test_the_model_is_the_same_to_the_last_bit_with_and_without(
    simulation: Simulations, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr(Family, "sample_unfinished", careless)
    without = plain(simulation, family)
    expected = trained(without, 0)
    assert without.work.run.read_events(Previewed) == [] and not (without.work.run.path / "previews").exists()
    looked_at = plain(simulation, family)
    found = trained(looked_at, 100)
    # Not of the last round, after which the release is drawn.
    assert {event.round for event in looked_at.work.run.read_events(Previewed)} <= {1, 2}
    assert looked_at.work.run.read_events(Previewed) != []
    assert torch.equal(found.model, expected.model) and torch.equal(found.ema, expected.ema)


def test_what_all_share_is_left_as_it_was(simulation: Simulations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Family, "sample_unfinished", careless)
    here = simulation(training={"rounds": 3})
    state = state_after(here, 1)
    model, ema, generator = state.model.clone(), state.ema.clone(), torch.get_rng_state()
    Previews(here.work, 100).after(state, 1.0)
    assert rounds_drawn(here) == [1]
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(state.model, model) and torch.equal(state.ema, ema)


class Clock:
    """Every look at it is `seconds` later."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.fixture
def here(simulation: Simulations) -> Simulation:
    return simulation(training={"rounds": 400})


def state_after(here: Simulation, round: int) -> Checkpoint:
    first = here.work.recipe.initial_checkpoint()
    return Checkpoint(round, first.model, first.ema, first.study_sha256)


def rounds_drawn(here: Simulation) -> list[int]:
    return [event.round for event in here.work.run.read_events(Previewed)]


def test_all_pictures_together_take_their_share_of_the_rounds(here: Simulation) -> None:
    # Each picture looks at the clock four times, and so takes three seconds.
    previews = Previews(here.work, 10, Clock(1.0))
    for round in range(1, 201):
        previews.after(state_after(here, round), 2.0)
    events = here.work.run.read_events(Previewed)
    # The first is small, and of it nobody knew how long it would take.
    assert events[0].round == 8 and events[0].images == 2
    assert all(event.images == 8 for event in events[1:])
    assert 3 * (len(events) - 1) <= 0.1 * 2 * 200
    assert len(events) > 5


def test_a_cheap_picture_comes_some_tens_of_times_in_a_whole_training(here: Simulation) -> None:
    previews = Previews(here.work, 100, Clock(0.0))
    for round in range(1, 400):
        previews.after(state_after(here, round), 2.0)
    drawn = rounds_drawn(here)
    assert 40 <= len(drawn) <= MOST_PICTURES
    # A few are kept, the newest.
    files = sorted(path.name for path in (here.work.run.path / "previews").iterdir())
    assert files == [preview_path(here.work.run, round).name for round in drawn[-KEPT:]]
    with Image.open(io.BytesIO(preview_path(here.work.run, drawn[-1]).read_bytes())) as picture:
        assert picture.width > picture.height > 100
    assert preview_path(here.work.run, drawn[-1]).stat().st_mode & 0o077 == 0


def test_a_picture_that_fails_is_one_line_and_no_failure(
    here: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def broken(*given: Any, **named: Any) -> None:
        asked.append(1)
        raise DataError("The model gives pixels that are not numbers.")

    monkeypatch.setattr(module, "synthesize", broken)
    previews = Previews(here.work, 100)
    for round in (10, 20, 30):
        previews.after(state_after(here, round), 2.0)
    assert len(asked) == 1
    told = here.work.run.read_events(NotPreviewed)
    assert [(event.round, event.reason) for event in told] == [
        (10, "The model gives pixels that are not numbers.")
    ]


def test_what_is_no_error_of_ours_says_no_more_than_its_kind_and_a_full_disk_nothing(
    here: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left", "images of somebody")

    monkeypatch.setattr(module, "write_atomic", full)
    Previews(here.work, 100).after(state_after(here, 10), 1.0)
    assert [event.reason for event in here.work.run.read_events(NotPreviewed)] == ["unexpected OSError"]

    def unwritable(event: Any) -> None:
        raise DataError("The disk is full.")

    monkeypatch.setattr(type(here.work.run), "event", lambda run, event: unwritable(event))
    Previews(here.work, 100).after(state_after(here, 10), 1.0)


def test_an_interrupt_is_nobodys_failure(here: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "synthesize", stopped)
    with pytest.raises(KeyboardInterrupt):
        Previews(here.work, 100).after(state_after(here, 10), 1.0)
    assert here.work.run.read_events(NotPreviewed) == []


@pytest.mark.parametrize("family", ["latent", "translate_gan"])
def test_one_sum_and_a_translation_have_nothing_to_show(tiny_study: Any, family: str) -> None:
    class Work:
        study = tiny_study(family)

    previews = Previews(Work(), 100)  # type: ignore[arg-type]
    previews.after(Checkpoint(1, torch.zeros(1), torch.zeros(1), ""), 5.0)


def test_many_classes_share_few_images(simulation: Simulations) -> None:
    names = tuple(f"class-{number}" for number in range(30))
    here = simulation(data={"labels": names}, training={"rounds": 100})
    previews = Previews(here.work, 100, Clock(0.0))
    for round in (10, 20):
        previews.after(state_after(here, round), 2.0)
    assert [event.images for event in here.work.run.read_events(Previewed)] == [4, MOST_IMAGES]


def test_what_was_chosen_is_kept_for_who_resumes(here: Simulation) -> None:
    run = here.work.run
    assert preview_percent(run) == 5
    choose_previews(run, 0)
    choose_previews(run, None)
    assert preview_percent(run) == 0 and PreviewChoice.read(run).percent == 0
    for wrong in (-1.0, 101.0, float("nan")):
        with pytest.raises(StudyError, match="a number from 0"):
            choose_previews(run, wrong)


def test_a_teacher_is_drawn_as_a_teacher(tiny_study: Any) -> None:
    """With as many steps as the study's sampler takes, not with the few of a student that is not there yet."""
    from fedgen.recipe import Recipe

    family = Recipe.of(tiny_study("distilled")).family
    networks, calls = family.networks(), []
    networks["unet"].register_forward_hook(lambda *_: calls.append(1))
    given, rng = {"class": torch.tensor([0, 1])}, torch.Generator().manual_seed(1)
    family.sample(networks, given, 2, rng)
    few = len(calls)
    family.sample_unfinished(networks, given, 2, rng)
    assert len(calls) - few > few
