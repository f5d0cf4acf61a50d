"""Where to add something is written down once in each of two pages; they agree, and every kind is tried here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PAGES = ("docs/explanation/architecture.md", "CONTRIBUTING.md")
#: No file that could be added: what tests/test_docs.py and the study's own tests say of every key holds for it.
UNTRIED = {"a key of the study"}


def places(text: str) -> dict[str, str]:
    """Kind and folder, of the table under "Where to add something"."""
    section = text.partition("## Where to add something\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {kind.strip(): place.strip().strip("`") for kind, place, *_ in rows[2:]}


def kinds(source: str) -> tuple[str, ...]:
    """What a module of tests says that it tries, in its constant KINDS."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "KINDS":
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    return ()


@pytest.fixture
def documented() -> list[dict[str, str]]:
    return [places((REPO / page).read_text(encoding="utf-8")) for page in PAGES]


def test_both_pages_name_the_same_kinds_and_places(documented: list[dict[str, str]]) -> None:
    architecture, contributing = documented
    assert architecture == contributing
    assert list(architecture) == list(contributing)
    assert len(architecture) >= 8
    for kind, place in architecture.items():
        assert place.endswith("/") and (REPO / place).is_dir(), kind


def test_every_kind_is_tried_in_this_folder(documented: list[dict[str, str]]) -> None:
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_*.py"))]
    tried = [kind for source in sources for kind in kinds(source)]
    assert len(tried) == len(set(tried))
    assert {*tried, *UNTRIED} == documented[0].keys()


def test_a_table_is_read_by_its_first_two_columns() -> None:
    table = "| you want | where | |\n|---|---|---|\n| a b | `c/` | d |\n"
    page = f"# A\n## Where to add something\n\n{table}\n## E\n| f | g |\n"
    assert places(page) == {"a b": "c/"}
    assert kinds("KINDS = ('a', 'b')") == ("a", "b")
    assert kinds("OTHER = 1") == ()
