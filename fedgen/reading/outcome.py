"""What came of a reading: one row of numbers over readers and images, never of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score

from fedgen.reading.book import Book, GivenAnswer, ReadingPlan
from fedgen.reading.trials import is_real
from fedgen.run.row import SYNTHETIC, Row, Value
from fedgen_privacy.statistics.clustered import (
    clustered_mean,
    clustered_proportion,
    smallest_share_above_half,
)

#: Of the row, and of its group.
ID = GROUP = "reading"
ALPHA = 0.05
PATIENTS = "test_patients"
ABOUT = {
    "2afc": "Readers were shown a synthetic image beside a real one of a test patient and said which is real.",
    "single": "Readers were shown one image at a time, synthetic or of a test patient, and said which it is.",
}
#: Answers of one reader by trial.
Answers = Mapping[int, GivenAnswer]


def reading_row(book: Book) -> Row | None:
    """The row of all readers who are done; None where none is.

    A reading that somebody broke off does not count: who may stop when it looks well makes it look well.

    Raises:
        DataError: the reading is damaged.
    """
    plan, all_answers = book.plan, {reader: book.answers(reader) for reader in book.readers}
    done = {reader: given for reader, given in all_answers.items() if len(given) == len(book.trials(reader))}
    if not done:
        return None
    cases = [_by_case(given) for given in done.values()]
    return Row(
        id=ID,
        title="Readers tell real from synthetic",
        group=GROUP,
        about=ABOUT[plan.mode],
        values=(*_accuracy(plan, cases), *_marks(plan, list(done.values()))),
        n={PATIENTS: plan.patients, f"{SYNTHETIC}images": len(plan.made)},
        note=_note(plan, len(done), len(all_answers) - len(done)),
    )


def _note(plan: ReadingPlan, done: int, broken_off: int) -> str:
    said = [
        f"{done} {'reader' if done == 1 else 'readers'}. Patients are of the test part, whom neither training nor "
        "audit saw, one image of each. 0.5 is guessing. A good synthetic image makes readers guess, and so does a poor "
        "real one: read the marks beside it.",
    ]
    if broken_off:
        said.append(f"{broken_off} more did not finish and do not count.")
    if plan.mode == "2afc":
        said.append("Both images of a pair are of one class.")
    return " ".join(said)


def _by_case(given: Answers) -> dict[str, GivenAnswer]:
    """Answers by what was shown, whatever the order and the sides."""
    return {"+".join(sorted(answer.shown)): answer for answer in given.values()}


def _accuracy(plan: ReadingPlan, readers: Sequence[Mapping[str, GivenAnswer]]) -> list[Value]:
    names = sorted(readers[0])
    right = np.array([[reader[name].right for reader in readers] for name in names], dtype=float)
    low, high = clustered_proportion(right.sum(1), np.full(len(names), float(len(readers))), ALPHA)
    share = float(right.mean())
    values = [
        Value(name="accuracy", value=share, low=low, high=high, chance=0.5, pool="mean", weight=PATIENTS),
        Value(
            name="smallest detectable accuracy",
            value=smallest_share_above_half(len(names), ALPHA),
            note="80 % power, of one reader, or of several who agree",
        ),
    ]
    if plan.mode == "single":
        real = np.array([name.startswith("r") for name in names])
        for what, chosen in (("real images called real", real), ("synthetic images called synthetic", ~real)):
            own = right[chosen]
            bounds = clustered_proportion(own.sum(1), np.full(len(own), float(len(readers))), ALPHA)
            values.append(Value.of(what, float(own.mean()), *bounds))
        values.append(Value.of("d'", _sensitivity(right[~real], right[real])))
    else:
        values.append(Value.of("d'", math.sqrt(2) * _z(right)))
    values.append(Value(name="readers", value=len(readers)))
    values.append(_agreement(names, readers))
    seconds = [a.seconds for reader in readers for a in reader.values() if a.seconds is not None]
    if seconds:
        values.append(Value.of("seconds for an answer, median", float(np.median(seconds))))
    return values


def _z(right: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Normal score of a share; half an answer is added on either side, so that 0 and 1 have one (Hautus 1995)."""
    return float(norm.ppf((right.sum() + 0.5) / (right.size + 1)))


def _sensitivity(
    made: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    real: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> float:
    """d' = z(hits) - z(false alarms), of all readers together; synthetic is what is looked for."""
    return _z(made) - _z(1 - real)


def _agreement(names: Sequence[str], readers: Sequence[Mapping[str, GivenAnswer]]) -> Value:
    """Cohen's kappa of two readers, Fleiss' of more: of which of two images, or what of one, each chose."""
    if len(readers) < 2:
        return Value(name="agreement, kappa", value=None, note="of one reader there is none")
    said = [[_said(reader[name]) for name in names] for reader in readers]
    if len(readers) == 2:
        return Value.of("agreement, kappa", float(cohen_kappa_score(said[0], said[1])), note="Cohen")
    return Value.of("agreement, kappa", fleiss_kappa(np.array(said).T), note="Fleiss")


def _said(answer: GivenAnswer) -> bool:
    """Whether the real image, or the image, was called real: sides and order differ between readers."""
    return answer.right if len(answer.shown) == 2 else answer.choice == "real"


def fleiss_kappa(said: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    """Agreement of several readers beyond chance (Fleiss 1971); NaN where all said the same of everything.

    Args:
        said: (cases, readers) what each said of each.
    """
    readers = said.shape[1]
    counts = np.stack([said.sum(1), readers - said.sum(1)], axis=1).astype(float)
    agreed = float(np.mean((np.sum(counts**2, axis=1) - readers) / (readers * (readers - 1))))
    by_chance = float(np.sum((counts.sum(0) / counts.sum()) ** 2))
    return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan


def _marks(plan: ReadingPlan, readers: Sequence[Answers]) -> list[Value]:
    """The mean mark of each quality, of real and of synthetic images; images are the units of its interval."""
    values = []
    for quality in plan.form:
        for real, what in ((True, "real"), (False, "synthetic")):
            marks, images = [], []
            for given in readers:
                for answer in given.values():
                    for shown, mark in zip(answer.shown, answer.marks[quality], strict=True):
                        if is_real(shown) is real:
                            marks.append(float(mark))
                            images.append(int(shown[1:]))
            mean = clustered_mean(np.array(marks), np.array(images), ALPHA)
            values.append(Value.of(f"{quality}, {what}", *mean))
    return values
