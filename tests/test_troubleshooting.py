"""Every sentence that a page on a failure quotes is one that the code prints, with the page's exit code."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedgen import errors

REPO = Path(__file__).parent.parent
PAGES = sorted(path for path in (REPO / "docs/troubleshooting").glob("*.md") if path.stem != "index")
ROOTS = {"fedgen": ".", "fedgen_privacy": "privacy", "fedgen_client": "client", "fedgen_server": "server"}
#: Letters of a sentence's own that must stand in it: one that is almost all fill-ins would match anything.
LEAST = 25


@dataclass(frozen=True)
class Template:
    """A sentence of the code with its gaps, and the exit code of the error that it is raised with, where it is."""

    pieces: tuple[str | None, ...]
    own: int
    code: int | None

    def prints(self, sentence: str) -> bool:
        """Whether it can be this very sentence, whatever is filled in."""
        if not all(piece is None or piece in sentence for piece in self.pieces):
            return False
        pattern = "".join(".*?" if piece is None else re.escape(piece) for piece in self.pieces)
        return re.fullmatch(pattern, sentence, re.DOTALL) is not None


def _template(node: ast.AST, code: int | None) -> Template | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        parts: list[str | None] = [node.value]
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
    else:
        return None
    own = sum(len(part) for part in parts if part is not None)
    if own < LEAST:
        return None
    return Template(tuple(parts), own, code)


def _codes(tree: ast.AST) -> dict[ast.AST, int]:
    """Exit code of each error's sentence, where the class says it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            kind = getattr(errors, node.func.id, None)
            if isinstance(kind, type) and issubclass(kind, errors.FedgenError):
                found[node.args[0]] = int(kind.exit_code)
    return found


@functools.cache
def templates() -> tuple[Template, ...]:
    found = []
    for package, place in ROOTS.items():
        for file in sorted((REPO / place / package).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            if "Error" not in text:  # what is printed at the end of a command is an error's sentence
                continue
            tree = ast.parse(text)
            codes = _codes(tree)
            made = (_template(node, codes.get(node)) for node in ast.walk(tree))
            found += [each for each in made if each is not None]
    return tuple(found)


def matching(sentence: str) -> list[Template]:
    """The templates that print the sentence whole, or all of it but what other sentences fill in."""
    return [each for each in templates() if each.own >= len(sentence) * 0.3 and each.prints(sentence)]


def quoted(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8").partition("## What is printed\n")[2].partition("\n## ")[0]
    return [found.strip() for found in re.findall(r"```text\n(.*?)```", text, re.DOTALL)]


def all_quoted() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        for sentence in quoted(path):
            yield path.name, sentence


def test_there_are_pages_and_each_has_its_three_parts() -> None:
    assert len(PAGES) >= 20
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["What is printed", "Why", "What to do"], path
        assert quoted(path), path


@pytest.mark.parametrize(("page", "sentence"), all_quoted())
def test_what_a_page_quotes_is_what_the_code_prints(page: str, sentence: str) -> None:
    assert matching(sentence), sentence


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_exit_code_of_a_page_is_that_of_its_errors(path: Path) -> None:
    (code,) = re.findall(r"ends with \[exit code (\d)\]", path.read_text(encoding="utf-8"))
    known = {each.code for sentence in quoted(path) for each in matching(sentence) if each.code is not None}
    assert known <= {int(code)}


def test_a_sentence_that_no_code_prints_would_be_found() -> None:
    assert not matching(
        "The moon is made of cheese, and nothing was spent on it: ask the coordinator for a new one."
    )
    assert not matching(
        "Site north has 6 training patients but training.batch_patients asks for batches of sixteen dogs."
    )


def test_the_exit_codes_of_the_quoted_errors_are_mostly_known() -> None:
    known = [any(each.code is not None for each in matching(sentence)) for _, sentence in all_quoted()]
    assert sum(known) > len(known) / 2
