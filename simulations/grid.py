"""Run a study over a grid of overrides and put the results into its README.

Used by simulations/*/run.py. Every cell is one `fedgen simulate` in its own process; a cell that is done is
not run again, one that was stopped is resumed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import EvaluationFile


@dataclass(frozen=True)
class Cell:
    """One run: a folder name and its overrides."""

    name: str
    overrides: tuple[str, ...]


def run_cell(study: str, data: Path, out: Path, cell: Cell) -> Mapping[str, Any]:
    """The cell's run.json, after running or resuming it if need be."""
    folder = out / cell.name
    found = finished(folder)
    if found is None:
        command = [
            sys.executable,
            "-m",
            "fedgen.cli",
            "simulate",
            study,
            "--data",
            str(data),
            "--out",
            str(folder),
        ]
        command += [word for override in cell.overrides for word in ("--set", override)]
        if any(folder.glob("*/run.json")):
            command.append("--resume")
        print(f"{cell.name}: {' '.join(cell.overrides)}", flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = finished(folder)
    if found is None:
        raise SystemExit(f"{folder} has no finished run.")
    return found


def finished(folder: Path) -> Mapping[str, Any] | None:
    """run.json of the newest finished run in a cell's folder, and the pooled rows of its evaluation as `rows`."""
    for path in sorted(folder.glob("*/run.json"), reverse=True):
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if summary["status"] == "done":
            return {**summary, "rows": EvaluationFile.read(RunDirectory(path.parent)).pooled}
    return None


def pooled(row: str, name: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Reader of one value of one row of the evaluation, over all patients."""

    def read(run: Mapping[str, Any]) -> float | None:
        found = next((each.get(name) for each in run["rows"] if each.id == row), None)
        return None if found is None else found.value

    return read


def over_seeds(runs: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float | None]) -> str:
    """`mean ± half range` over seeds, or a dash where a value is undefined in every run."""
    values = [v for run in runs if (v := value(run)) is not None]
    if not values:
        return "—"
    spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3g}{spread}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_readme(readme: Path, content: str) -> None:
    """Replace what stands between the markers of the results."""
    write_between(readme, "results", content)


def write_between(readme: Path, name: str, content: str) -> None:
    """Replace what stands between the markers of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    readme.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")
