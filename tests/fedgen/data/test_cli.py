"""`fedgen data`: tables for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgen.cli.data import app
from fedgen.data.index import read_index
from fedgen.errors import DataError, StudyError

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index is written where a person is."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(*arguments: object) -> str:
    result = RUN.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_index(png_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(png_folder.rglob("*"))
    monkeypatch.chdir(tmp_path)
    output = run("index", png_folder, "--labels", "none, lesion")
    assert "north" in output
    index = read_index(tmp_path / "index.json")
    assert (index.n_images, len(index.patients)) == (32, 16)
    assert all(entry.patient.startswith("p-") and entry.path.startswith("f-") for entry in index.entries)
    assert sorted(png_folder.rglob("*")) == before
    monkeypatch.chdir(png_folder / "images")
    with pytest.raises(StudyError, match="name the index file with --out"):
        run("index", png_folder)
    value = json.loads(run("index", png_folder, "--out", tmp_path / "i.json", "--json"))
    assert value["counts"] == {"sites": 2, "patients": 16, "images": 32, "excluded": 0}
    assert "entries" not in value


def test_index_maps_columns(png_folder: Path) -> None:
    with pytest.raises(DataError, match="name the right one with --patient-column"):
        run("index", png_folder, "--patient-column", "person")
    run(
        "index", png_folder, "--label-column", "site", "--labels", "north,south", "--one-class-sites", "allow"
    )


def test_inspect(png_folder: Path) -> None:
    assert "20x28 (32)" in run("inspect", png_folder)
    report = json.loads(run("inspect", png_folder, "--json"))
    assert report["patients"] == 16
    assert report["sites"][0]["labels"] == {"none": 8, "lesion": 8}


def test_phantom_then_index(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    assert "2 sites" in run("phantom", folder, "--sites", 2, "--patients", 4, "--size", 32)
    value = json.loads(run("index", folder, "--modality", "T2w", "--mask-column", "mask", "--json"))
    assert value["layout"] == "dicom"
    assert value["counts"]["patients"] == 8


def test_one_hospital_of_a_phantom(tmp_path: Path) -> None:
    value = json.loads(
        run(
            "phantom",
            tmp_path / "p",
            "--sites",
            2,
            "--patients",
            4,
            "--size",
            32,
            "--only",
            "Brookside",
            "--json",
        )
    )
    assert (value["sites"], value["names"], value["patients"]) == (1, ["Brookside"], 4)
    index = json.loads(run("index", tmp_path / "p", "--modality", "T1w", "--json"))
    assert index["counts"]["patients"] == 4
    assert "1 site with" in run("phantom", tmp_path / "q", "--patients", 4, "--size", 32, "--only", "Ashford")
    with pytest.raises(StudyError, match="no site 'Nowhere'"):
        run("phantom", tmp_path / "r", "--only", "Nowhere")


def test_wrong_options_are_study_errors(png_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"data.other_labels is not valid"):
        run("index", png_folder, "--other-labels", "maybe")
    with pytest.raises(StudyError, match="--patients is not valid"):
        run("phantom", tmp_path / "p", "--patients", 1)


def test_index_tells_of_values_after_a_few_files(png_folder: Path) -> None:
    import numpy as np
    from PIL import Image

    images = sorted((png_folder / "images").iterdir())
    Image.fromarray(np.full((20, 28), 7, np.uint8)).save(images[3])
    assert "1 image holds a single value" in run("index", png_folder)
    for path in images:
        Image.fromarray(np.full((20, 28), 60_000, np.uint16)).save(path)
    value = json.loads(run("index", png_folder, "--json"))
    assert [finding["kind"] for finding in value["sampled"]] == ["unreadable"]
    assert "data.intensity.upper" in value["sampled"][0]["sentence"]
    assert value["findings"] == []
