"""What readers are shown, how it is kept, and what comes of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from fedgen.data.site_data import LabelledImages, Part
from fedgen.errors import DataError, StudyError
from fedgen.reading.book import AnsweredAlreadyError, Book
from fedgen.reading.outcome import fleiss_kappa, reading_row
from fedgen.reading.pictures_shown import planes, shown_png
from fedgen.reading.sitting import sit_down
from fedgen.reading.trials import Readable, draw, is_real, order
from fedgen.run.row import Row
from fedgen.study.reading_section import ReadingSection


def candidates(seed: int = 0) -> Readable:
    rng = np.random.default_rng(seed)
    return Readable(
        labels=rng.integers(0, 3, 60),
        patients=np.repeat(np.arange(20), 3),
        made=np.array([0] * 3 + [1] * 30 + [5] * 9),
    )


def test_pairs_are_of_one_class_and_of_other_patients() -> None:
    found = candidates()
    drawn = draw(found, 12, seed=1)
    assert len(drawn.real) == len(drawn.made) == 12
    assert [found.labels[r] for r in drawn.real] == [found.made[m] for m in drawn.made]
    assert len({int(found.patients[r]) for r in drawn.real}) == 12
    assert len(set(drawn.made)) == 12
    assert sorted(int(found.made[m]) for m in drawn.made).count(0) == 3, "as many as there are"
    assert draw(found, 12, seed=1) == drawn != draw(found, 12, seed=2)


def test_no_more_is_drawn_than_there_is() -> None:
    assert len(draw(candidates(), 500, seed=0).real) <= 20
    nothing = Readable(np.array([0]), np.array([0]), np.array([1]))
    assert draw(nothing, 10, seed=0).real == ()


def test_a_reading_is_of_the_images_with_which_it_began(tiny_site, tiny_study, tmp_path) -> None:
    """The sitting itself: of test patients alone, and refused where one of them is gone."""
    study, site = tiny_study(evaluation={"reading": {"images": 4}}), tiny_site("north", held_out=6)
    made = LabelledImages(torch.rand(8, 1, 16, 16) * 2 - 1, torch.arange(8) % 2)
    book, picture = sit_down(tmp_path, "q", study, [site], made)
    shown = {picture(f"r{n}") for n in range(len(book.plan.real))}
    test = {shown_png(image) for image in site.part(Part.TEST).images}
    train = {shown_png(image) for image in site.part(Part.TRAIN).images}
    assert len(shown) == 4
    assert shown <= test
    assert not shown & train
    assert {picture(f"s{n}") for n in range(4)} <= {shown_png(image) for image in made.images}
    again, _ = sit_down(tmp_path, "q", study, [site], made)
    assert again.plan == book.plan
    who = next(
        int(p) for p, image in zip(site.patients, site.images, strict=True) if shown_png(image) in shown
    )
    gone = site.only(site.patients != who)
    with pytest.raises(DataError, match="withdrawn"):
        sit_down(tmp_path, "q", study, [gone], made)


@pytest.mark.parametrize("mode", ["2afc", "single"])
def test_every_reader_sees_the_same_images_in_an_order_of_their_own(mode) -> None:
    orders = [order(30, mode, "secret", reader) for reader in ("ann", "ben", "ann")]
    assert orders[0] == orders[2] != orders[1]
    assert {frozenset(trial) for trial in orders[0]} == {frozenset(trial) for trial in orders[1]}
    assert order(30, mode, "another", "ann") != orders[0], "nobody knows it beforehand"
    if mode == "2afc":
        left = sum(is_real(trial[0]) for trial in orders[0])
        assert 5 < left < 25, "either side"


def test_real_and_synthetic_become_the_same_bytes() -> None:
    image = torch.rand(1, 8, 8) * 2 - 1
    assert shown_png(image) == shown_png(image.half())
    assert b"tEXt" not in shown_png(image)
    assert b"synthetic" not in shown_png(image)


def test_a_volume_is_shown_in_three_planes() -> None:
    volume = torch.zeros(1, 4, 6, 8)
    volume[:, 2] = 0.25
    shown = planes(volume)
    assert shown.shape == (1, 6, 8 + 8 + 6 + 3 * 2)
    assert bool((shown[:, :, :8] == 0.25).all())


def test_a_reading_is_fixed_when_it_begins(begin) -> None:
    first = begin()
    assert begin().plan == first.plan
    for change in ({"question": "other"}, {"mode": "single"}, {"form": ("sharpness",)}):
        with pytest.raises(DataError, match="move it away"):
            begin(**change)
    with pytest.raises(DataError, match="withdrawn"):
        begin(pictures="others")
    assert (first.folder / "plan.json").stat().st_mode & 0o077 == 0, "only its owner knows the seed"


def test_an_empty_reading_is_refused(begin) -> None:
    with pytest.raises(DataError, match="nothing to read"):
        begin(pairs=0)


@pytest.mark.parametrize("reader", ["", "Ann", "a b", "../x", "a" * 40, "-x"])
def test_a_reader_has_a_pseudonym_that_is_a_file_name(begin, reader) -> None:
    with pytest.raises(StudyError, match="pseudonym"):
        begin().trials(reader)


def test_an_answer_is_given_once_in_turn_and_whole(begin) -> None:
    book, marks = begin(), {"sharpness": (1, 2), "anatomy": (3, 4)}
    book.write("ann", 0, "left", marks, 1.5)
    with pytest.raises(AnsweredAlreadyError):
        book.write("ann", 0, "right", marks, 1.5)
    for trial, choice, given in (
        (2, "left", marks),
        (-1, "left", marks),
        (1, "real", marks),
        (1, "left", {"sharpness": (1, 2)}),
        (1, "left", {**marks, "more": (1, 1)}),
        (1, "left", {**marks, "anatomy": (3,)}),
        (1, "left", {**marks, "anatomy": (3, 6)}),
        (1, "left", {**marks, "anatomy": (0, 3)}),
    ):
        with pytest.raises(StudyError):
            book.write("ann", trial, choice, given, None)
    assert [answer.choice for answer in book.answers("ann").values()] == ["left"]
    assert book.next("ann") == 1
    assert book.next("ben") == 0


def _answer_and_die(folder: str) -> None:
    book = Book(Path(folder))
    book.write("ann", 0, "left", dict.fromkeys(book.plan.form, (3, 3)), 1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_answered_survives_kill_minus_9(begin) -> None:
    book = begin()
    process = multiprocessing.get_context("fork").Process(target=_answer_and_die, args=(str(book.folder),))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    again = begin()
    assert again.next("ann") == 1
    assert again.trials("ann") == book.trials("ann")
    with (book.folder / "ann.jsonl").open("a") as file:
        file.write('{"time": "now", "event": "answered", "tri')
    assert again.next("ann") == 1, "a line that was being written was acted on by nobody"


def test_a_damaged_answer_is_not_passed_over(begin) -> None:
    book = begin()
    with (book.folder / "ann.jsonl").open("a") as file:
        file.write(
            json.dumps({"time": "now", "event": "answered", "trial": 99, "choice": "left", "marks": {}})
            + "\n"
        )
    with pytest.raises(DataError, match="damaged"):
        reading_row(book)


def number(row: Row, name: str) -> float:
    value = row.get(name)
    assert value is not None
    assert value.value is not None
    return value.value


@pytest.mark.parametrize("mode", ["2afc", "single"])
def test_who_tells_all_apart_has_accuracy_1_and_who_none_0(begin, read, mode) -> None:
    book = begin(mode, pairs=10)
    read(book, "ann")
    row = reading_row(book)
    assert row is not None
    assert number(row, "accuracy") == 1.0
    assert number(row, "d'") > 2
    assert row.n == {"test_patients": 10, "synthetic_images": 10}
    assert number(row, "sharpness, real") == 5
    assert number(row, "sharpness, synthetic") == 2
    again = Book(book.folder)
    read(again, "ben", wrong=set(range(10)))
    both = reading_row(again)
    assert both is not None
    assert number(both, "accuracy") == 0.5
    assert number(both, "d'") == pytest.approx(0, abs=1e-9)
    assert number(both, "readers") == 2
    value = both.get("accuracy")
    assert value is not None
    assert value.low is not None
    assert value.low < 0.5


def test_who_broke_off_does_not_count(begin, read) -> None:
    book = begin()
    read(book, "ann", until=3)
    assert reading_row(book) is None
    read(book, "ben")
    row = reading_row(book)
    assert row is not None
    assert number(row, "readers") == 1
    assert "1 more did not finish" in (row.note or "")


def test_agreement_is_of_images_whatever_their_order(begin, read) -> None:
    book = begin(pairs=12)
    read(book, "ann", wrong={0, 1, 2, 3})
    read(book, "ben", wrong={0, 1, 2, 3})
    row = reading_row(book)
    assert row is not None
    assert number(row, "agreement, kappa") == 1.0
    read(book, "cem", wrong={2, 3, 8})
    row = reading_row(book)
    assert row is not None
    value = row.get("agreement, kappa")
    assert value is not None
    assert value.note == "Fleiss"
    assert value.value is not None
    assert 0 < value.value < 1


def test_fleiss_kappa_agrees_with_its_paper_and_with_scott() -> None:
    """Of two readers with the same shares Fleiss' is Cohen's; of random answers it is about 0."""
    one = np.array([1, 1, 0, 0, 1, 0, 1, 0] * 4, dtype=bool)
    two = np.array([1, 0, 1, 0, 1, 0, 1, 0] * 4, dtype=bool)
    assert fleiss_kappa(np.stack([one, two], axis=1)) == pytest.approx(cohen_kappa_score(one, two))
    chance = np.random.default_rng(0).integers(0, 2, (4000, 3)).astype(bool)
    assert abs(fleiss_kappa(chance)) < 0.03
    assert np.isnan(fleiss_kappa(np.ones((5, 3), dtype=bool)))


def test_a_form_names_a_quality_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        ReadingSection(form=("sharpness", "Sharpness"))
