"""The table of chest X-rays is made, judged and printed from a few drawn images, and nothing of it twice."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIMULATIONS = Path(__file__).parent.parent / "simulations"
SITES = ("a", "b", "c")
#: Names of the scripts, as general as names of scripts are.
OWN = ("cells", "command", "in_process", "judging", "printed", "readme", "rows", "table", "table_of")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty patients with one image each, brighter above or below by their view."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "data/images").mkdir(parents=True)
    for number in range(30):
        view = number % 2
        pixels = rng.integers(60, 120, (64, 64))
        pixels[32 * view : 32 * view + 32] += 100
        name = f"images/{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "data" / name)
        rows.append([name, f"p{number}", SITES[number % 3], ("PA", "AP")[view], "COVID-19", ""])
    with (tmp_path / "data/metadata.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["image", "patient_id", "site", "view", "label", "mask"])
        table.writerows(rows)
    (tmp_path / "README.md").write_text("<!-- view: begin -->\nold\n<!-- view: end -->\n")
    return tmp_path


@pytest.fixture
def table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Runs chest_xray/table.py."""
    monkeypatch.setattr(sys, "path", [str(SIMULATIONS / "chest_xray"), str(SIMULATIONS), *sys.path])
    script = importlib.import_module("table")

    def run(do: str, *more: str) -> None:
        words = [do, str(folder / "data"), "--label", "view", "--seeds", "1", "--out", str(folder / "out")]
        words += ["--judges", "pixel", "--epsilons", "3", "--readme", str(folder / "README.md"), *more]
        monkeypatch.setattr(sys, "argv", ["table.py", *words])
        script.main()

    yield run
    for name in OWN:
        sys.modules.pop(name, None)


def kept(folder: Path) -> dict[str, float]:
    """Of each cell and its images, when it was written."""
    files = [path for part in ("made", "judged", "measured") for path in (folder / part).glob("*")]
    return {path.name: path.stat().st_mtime_ns for path in files}


def test_a_table_is_made_judged_and_printed_once(folder: Path, table: Callable[..., None]) -> None:
    out = folder / "out"
    table("make")
    assert len(list((out / "made").glob("*.npz"))) == 3
    table("judge")
    table("print")
    text = (folder / "README.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| latent") and line.count("|") > 9]
    assert len(lines) == 3
    assert "old" not in text
    assert (folder / "view.png").stat().st_size < 200_000
    everything = kept(out)
    table("make")
    table("judge")
    assert kept(out) == everything
    lost = next((out / "made").glob("*.json"))
    lost.unlink()
    table("make")
    changed = {name for name, written in kept(out).items() if everything[name] != written}
    assert changed == {lost.name, lost.with_suffix(".npz").name}


def test_what_was_not_run_is_printed_as_such(folder: Path, table: Callable[..., None]) -> None:
    table("print")
    lines = [
        line for line in (folder / "README.md").read_text().splitlines() if line.startswith("| diffusion")
    ]
    assert len(lines) == 3
    assert all("not run" in line for line in lines)
