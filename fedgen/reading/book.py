"""A reading on disk: its plan, fixed when it begins, and each reader's answers, one line each as they are given.

It lies with whoever has the patients: below `site-only/` of a simulation, or in a hospital's folder of the study. An
answer is on disk before the next images are shown, so that a reading goes on where it was, whatever ended it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from fedgen.errors import DataError, StudyError
from fedgen.reading.trials import DrawnPairs, Trial, is_real, order
from fedgen.run.directory import RunDirectory
from fedgen.run.journal import Journal, damaged_line
from fedgen.run.lock import held
from fedgen.run.run_file import RunFile
from fedgen.study.reading_section import BEST_MARK, Quality, ReadingMode, ReadingSection

#: Pseudonym of a reader: it names a file.
READER = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
#: What a reader says of a single image, or which of two is real.
CHOICES: Mapping[ReadingMode, tuple[str, ...]] = {"single": ("real", "synthetic"), "2afc": ("left", "right")}
_EVENT, _ENDING = "answered", ".jsonl"
Places = tuple[Annotated[int, Field(ge=0)], ...]


class ReadingPlan(RunFile):
    """`plan.json`: what every reader of a study is shown.

    Attributes:
        question: sha256 of the model and release that are read.
        mode, form: of the study.
        seed: secret, of every reader's order.
        real: positions among the images of test patients.
        patients: how many patients they are of.
        made: positions among the synthetic images that the reading keeps.
        pictures: sha256 of all that is shown.
    """

    name: ClassVar[str] = "plan.json"

    question: str
    mode: ReadingMode
    form: tuple[Quality, ...]
    seed: str
    real: Places
    patients: int
    made: Places
    pictures: str


@dataclass(frozen=True)
class GivenAnswer:
    """What a reader said of a trial.

    Attributes:
        trial: its number.
        right: whether real and synthetic were told apart.
        marks: quality to mark, of each image that was shown.
        seconds: from showing to answering; None where the page was shown by another process.
    """

    trial: int
    shown: Trial
    choice: str
    marks: Mapping[str, tuple[int, ...]]
    seconds: float | None

    @property
    def right(self) -> bool:
        """Whether real and synthetic were told apart."""
        if len(self.shown) == 1:
            return (self.choice == "real") == is_real(self.shown[0])
        return is_real(self.shown[CHOICES["2afc"].index(self.choice)])


class AnsweredAlreadyError(StudyError):
    """An answer to a trial that has one: the first stays."""


@dataclass(frozen=True)
class Book:
    """The reading in a folder."""

    folder: Path

    @classmethod
    def begin(
        cls,
        folder: Path,
        question: str,
        options: ReadingSection,
        drawn: DrawnPairs,
        digest: Callable[[DrawnPairs], str],
    ) -> Book:
        """The reading of a question: begun now, or as it was begun.

        Args:
            folder: where it lies.
            question: sha256 of the model and release.
            options: mode and form, as the study has them.
            drawn: what is shown if it begins now.
            digest: sha256 of all that is shown of what was drawn.

        Raises:
            DataError: a reading of another release or by another form is in the folder, nothing can be shown, or the
                images are others than when it began, as where a patient has withdrawn.
        """
        mode, form = options.mode, options.form
        book = cls(folder)
        with held(folder / "reading.lock"):
            if not (folder / ReadingPlan.name).exists():
                if not drawn.real:
                    raise DataError(
                        "There is nothing to read: no class has both a test patient's image and a synthetic one."
                    )
                plan = ReadingPlan(
                    question=question, mode=mode, form=form, seed=secrets.token_hex(16),
                    real=drawn.real, patients=len(drawn.real), made=drawn.made, pictures=digest(drawn),
                )  # fmt: skip
                plan.write(RunDirectory(folder))
        found = book.plan
        if found.question != question or found.mode != mode or found.form != form:
            raise DataError(
                f"{folder} holds a reading of other images or by another form: move it away to begin a new one."
            )
        if digest(DrawnPairs(found.real, found.made)) != found.pictures:
            raise DataError(
                f"What the reading in {folder} shows has changed since it began, perhaps because a patient has "
                "withdrawn: remove the folder to begin a new one."
            )
        return book

    @cached_property
    def plan(self) -> ReadingPlan:
        """What is shown.

        Raises:
            DataError: it is damaged, or there is none.
        """
        return ReadingPlan.read(RunDirectory(self.folder))

    @property
    def readers(self) -> list[str]:
        """Who has answered anything."""
        return sorted(path.stem for path in self.folder.glob(f"*{_ENDING}") if READER.fullmatch(path.stem))

    def trials(self, reader: str) -> tuple[Trial, ...]:
        """Those of a reader, in order.

        Raises:
            StudyError: the pseudonym is none.
        """
        if not READER.fullmatch(reader):
            raise StudyError(
                f"--reader {reader!r} is no pseudonym: take up to 32 lower-case letters, digits, - and _, and no name."
            )
        return order(len(self.plan.real), self.plan.mode, self.plan.seed, reader)

    def answers(self, reader: str) -> dict[int, GivenAnswer]:
        """Trial to its answer.

        Raises:
            DataError: a line is damaged, or no answer to this plan.
        """
        trials = self.trials(reader)
        found: dict[int, GivenAnswer] = {}
        path = self._file(reader)
        for line, entry in enumerate(Journal(path).whole(), 1):
            try:
                number, choice = int(entry["trial"]), str(entry["choice"])
                marks = {str(name): tuple(map(int, given)) for name, given in dict(entry["marks"]).items()}
                seconds = entry.get("seconds")
                trial = trials[number]
            except (KeyError, ValueError, TypeError, IndexError):
                raise damaged_line(path, line) from None
            if choice not in CHOICES[self.plan.mode] or number < 0:
                raise damaged_line(path, line)
            found.setdefault(number, GivenAnswer(number, trial, choice, marks, seconds))
        return found

    def next(self, reader: str) -> int | None:
        """The first trial without an answer; None where the reader is done."""
        given = self.answers(reader)
        return next((number for number in range(len(self.trials(reader))) if number not in given), None)

    def write(
        self,
        reader: str,
        trial: int,
        choice: str,
        marks: Mapping[str, tuple[int, ...]],
        seconds: float | None,
    ) -> None:
        """Keep an answer: it is on disk when this returns.

        Raises:
            AnsweredAlreadyError: the trial has an answer; it stays.
            StudyError: it is no answer to the trial that is next.
            DataError: it cannot be written.
        """
        self._check(choice, marks)
        with held(self.folder / f"{reader}.lock"):
            if trial in self.answers(reader):
                raise AnsweredAlreadyError(f"Trial {trial + 1} has its answer, which stays.")
            if trial != self.next(reader):
                raise StudyError(f"Trial {trial + 1} is not the next one.")
            said = {name: list(given) for name, given in marks.items()}
            Journal(self._file(reader)).write(_EVENT, trial=trial, choice=choice, marks=said, seconds=seconds)

    def _check(self, choice: str, marks: Mapping[str, tuple[int, ...]]) -> None:
        plan = self.plan
        shown = 1 if plan.mode == "single" else 2
        whole = set(marks) == set(plan.form) and all(
            len(given) == shown and all(1 <= mark <= BEST_MARK for mark in given) for given in marks.values()
        )
        if choice not in CHOICES[plan.mode] or not whole:
            raise StudyError("An answer is a choice, and a mark from 1 to 5 for each quality of each image.")

    def _file(self, reader: str) -> Path:
        return self.folder / f"{reader}{_ENDING}"
