"""docs/reference/families.md claims what the families say that they do, and nothing without a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.cli.models import TASKS, why_not
from fedgen.families.registry import specs

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "families.md"
AGAIN = "run `OMP_NUM_THREADS=1 python simulations/zoo/run.py`, which trains what is missing"


def claimed(axes: int) -> dict[str, dict[str, str]]:
    """The page's table of images of so many axes: cell by task by family."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {axes}D ")[1].split("\n## ")[0]
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    columns = [cell.strip() for cell in head.strip("|").split("|")][1:]
    assert tuple(columns) == TASKS, AGAIN
    cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return {name.replace("`", ""): dict(zip(columns, each, strict=True)) for name, *each in cells}


@pytest.mark.parametrize("axes", [2, 3])
def test_the_page_has_a_run_of_each_cell_that_a_family_claims(axes: int) -> None:
    found = claimed(axes)
    rows = {row: spec for spec in specs().values() for row in spec.rows}
    assert found.keys() == rows.keys(), AGAIN
    for row, spec in rows.items():
        for task in TASKS:
            run = r"[\d.]+ / [\d.]+ s" if spec.private else r"[\d.]+ s, not private"
            wanted = run if why_not(spec, task, axes) is None else "no"
            assert re.fullmatch(wanted, found[row][task]), f"{row}, {task}: {AGAIN}"


def test_each_family_has_its_pictures() -> None:
    folder = PAGE.parent / "families"
    rows = {re.sub("[^a-z_]+", "_", row) for spec in specs().values() for row in spec.rows}
    assert {path.stem for path in folder.glob("*.png")} == rows, AGAIN


def test_the_command_says_the_same() -> None:
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)["families"]
    for axes in (2, 3):
        found = claimed(axes)
        for family in listed:
            for task, by_axes in family["tasks"].items():
                assert (by_axes[f"{axes}D"] is None) == (found[family["name"]][task] != "no")


def test_the_command_prints_a_column_a_task_and_every_reason() -> None:
    printed = CliRunner().invoke(app, ["models"], env={"COLUMNS": "200"}).stdout
    assert all(task in printed for task in TASKS)
    said = re.sub(r"\s+", " ", printed)
    assert "candidates, not nothing: with nothing given there is nothing by which to choose" in said
