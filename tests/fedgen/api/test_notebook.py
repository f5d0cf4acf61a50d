"""The notebook of the tutorials runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

REPO = Path(__file__).parents[3]
NOTEBOOK = REPO / "docs/tutorials/notebook.ipynb"


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_holds_no_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 5
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


@pytest.mark.slow
def test_it_runs(notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow: the whole demonstration, in a kernel of its own. What its calls do is tested in the fast ones."""
    from nbclient import NotebookClient

    path = os.pathsep.join(str(REPO / folder) for folder in (".", "privacy", "client", "server"))
    monkeypatch.setenv("PYTHONPATH", path)
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    (run,) = (tmp_path / "runs").glob("demo-*")
    assert (run / "report.html").is_file()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    html = "\n".join(output.data.get("text/html", "") for output in shown if "data" in output)
    assert 'role="status">Done<' in html, "the bar was shown in the notebook, and ended"
    assert "<iframe title=" in html
    assert "<table" in html, "the rows"
    assert any("image/png" in output.data for output in shown if "data" in output)
    assert not [output for output in shown if output.output_type == "error"]
