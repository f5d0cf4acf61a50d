"""Several folders as one study: each as it is organised, and none of them twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedgen.data.build import build_index
from fedgen.data.join_folders import common_folder, index_folders
from fedgen.data.prepare import prepare_sites
from fedgen.data.read import read_stored
from fedgen.errors import DataError
from fedgen.study.data import DataSection
from fedgen.study.study import Study


def section(**keys: Any) -> DataSection:
    return DataSection.model_validate({"labels": ["none", "lesion"], "patient_rule": "image", **keys})


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A folder of classes without any table."""
    for number in range(8):
        path = tmp_path / "east" / ("none", "lesion")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(90 + number).integers(0, 255, (20, 28)).astype(np.uint8)).save(
            path
        )
    return tmp_path / "east"


def test_each_folder_is_read_as_it_is_organised(png_folder: Path, classes: Path) -> None:
    joined = index_folders([png_folder, classes], section())
    root = common_folder([png_folder, classes])
    assert joined.layout == "folders+table"
    assert joined.sites == ("east", "north", "south")
    alone = (*build_index(png_folder, section()).entries, *build_index(classes, section()).entries)
    assert len(joined.entries) == len(alone) == 40
    pictures = {
        (entry.site, entry.patient, entry.label, read_stored(folder, entry).tobytes())
        for folder, index in (
            (png_folder, build_index(png_folder, section())),
            (classes, build_index(classes, section())),
        )
        for entry in index.entries
    }
    assert pictures == {
        (entry.site, entry.patient, entry.label, read_stored(root, entry).tobytes())
        for entry in joined.entries
    }


def test_one_folder_is_no_other_than_without(png_folder: Path) -> None:
    assert index_folders([png_folder], section()) == build_index(png_folder, section())


def test_a_folder_twice_or_inside_another_is_refused(png_folder: Path, classes: Path) -> None:
    for folders in ([classes, classes], [classes, classes / "none"], [png_folder.parent, classes]):
        with pytest.raises(DataError, match="hold the same images"):
            index_folders(folders, section())


def test_a_site_in_several_folders_is_told(png_folder: Path, tmp_path: Path, write_rows: Any) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for number in range(3):
        Image.fromarray(np.full((20, 28), 50 * number, np.uint8)).save(other / f"{number}.png")
    write_rows(
        other / "metadata.csv",
        [{"image": f"{n}.png", "patient": f"new{n}", "site": "north", "label": "none"} for n in range(3)],
    )
    told = {
        finding.kind: finding.sentence for finding in index_folders([png_folder, other], section()).findings
    }
    assert "1 site is in several of the folders" in told["site_in_several_folders"]


def test_a_problem_names_the_file_below_the_common_folder(png_folder: Path, classes: Path) -> None:
    (classes / "none" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"^east/none/0\.png cannot be decoded"):
        index_folders([png_folder, classes], section())


def test_they_are_prepared_as_one_study(png_folder: Path, classes: Path, tmp_path: Path) -> None:
    study = Study.model_validate(
        {
            "study": {"name": "two"},
            "aggregation": {"secure": False},
            "data": {"image_size": [16, 16], "patient_rule": "image"},
        }
    )
    prepared = prepare_sites(study, png_folder, tmp_path / "own", tmp_path / "cache", more=[classes])
    assert [(site.site, site.n_images) for site in prepared.sites] == [
        ("east", 8),
        ("north", 16),
        ("south", 16),
    ]
