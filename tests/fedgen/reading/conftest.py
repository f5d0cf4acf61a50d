"""A reading of images whose pixels tell what they are, so that a test sees through the blind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedgen.reading.book import Book
from fedgen.reading.trials import DrawnPairs, is_real
from fedgen.study.reading_section import ReadingMode, ReadingSection

FORM = ("sharpness", "anatomy")
Begin = Callable[..., Book]
Read = Callable[..., None]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """`begin("single", pairs=6)`: a new reading, or the same one again."""

    def build(
        mode: ReadingMode = "2afc",
        pairs: int = 6,
        question: str = "q",
        form: tuple[str, ...] = FORM,
        pictures: str = "as they were",
    ) -> Book:
        options, places = ReadingSection(mode=mode, form=form), tuple(range(pairs))
        return Book.begin(
            tmp_path / "reading", question, options, DrawnPairs(places, places), lambda drawn: pictures
        )

    return build


def told(book: Book, reader: str, trial: int, *, right: bool = True) -> str:
    """The choice that tells real from synthetic, or does not."""
    shown = book.trials(reader)[trial]
    if len(shown) == 1:
        return "real" if is_real(shown[0]) is right else "synthetic"
    return "left" if is_real(shown[0]) is right else "right"


@pytest.fixture
def read() -> Read:
    """`read(book, "ann", wrong={2}, until=4)`: a reader's answers."""

    def answer(
        book: Book,
        reader: str,
        wrong: frozenset[int] | set[int] = frozenset(),
        until: int | None = None,
        marks: Callable[[str], int] = lambda shown: 5 if is_real(shown) else 2,
    ) -> None:
        trials = book.trials(reader)
        for trial, shown in enumerate(trials[:until]):
            given = {quality: tuple(marks(each) for each in shown) for quality in book.plan.form}
            # Wrong by what is shown, not by when: orders differ between readers.
            case = int(shown[0][1:])
            book.write(reader, trial, told(book, reader, trial, right=case not in wrong), given, 2.0)

    return answer
