"""The smallest study this version accepts, and the sentence it gives for a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from fedgen.errors import ExitCode, StudyError
from fedgen.study.load import parse_study

SMALLEST = "study: {name: small}\naggregation: {secure: false}\n"

Refusal = Callable[..., list[str]]


@pytest.fixture
def smallest() -> str:
    return SMALLEST


@pytest.fixture
def refusal() -> Refusal:
    """Lines of the StudyError for a text and overrides; the smallest study stands above the text."""

    def lines(text: str = "", overrides: Sequence[str] = (), *, head: str = SMALLEST) -> list[str]:
        with pytest.raises(StudyError) as caught:
            parse_study(head + text, "s.yaml", overrides)
        assert caught.value.exit_code == ExitCode.INVALID == 2
        return str(caught.value).splitlines()

    return lines
