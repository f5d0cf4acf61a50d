"""Folders of classes: whose images they are has to be said, and what follows from it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedgen.data.build import build_index
from fedgen.data.index import PatientIndex
from fedgen.data.inspect.look import inspect_data
from fedgen.errors import DataError
from fedgen.study.data import DataSection


def section(**keys: Any) -> DataSection:
    return DataSection.model_validate({"labels": ["healthy", "sick"], "patient_rule": "image", **keys})


def written(folder: Path, *paths: str) -> Path:
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (20, 16)).astype(np.uint8)).save(
            folder / path
        )
    return folder


def found(index: PatientIndex) -> list[tuple[str, str, str, str | None]]:
    return [(entry.path, entry.patient, entry.site, entry.label) for entry in index.entries]


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    folder = written(tmp_path / "clinic", "healthy/a.png", "healthy/b.jpg", "sick/c.png")
    index = build_index(folder, section())
    assert index.layout == "folders"
    assert found(index) == [
        ("healthy/a.png", "healthy/a.png", "clinic", "healthy"),
        ("healthy/b.jpg", "healthy/b.jpg", "clinic", "healthy"),
        ("sick/c.png", "sick/c.png", "clinic", "sick"),
    ]
    told = {finding.kind: finding.sentence for finding in index.findings}
    assert told["label_from_folder"] == "Classes are the names of folders at level 1: healthy, sick."
    assert "each of 3 images counts as one" in told["image_is_patient"]


def test_parts_of_a_data_set_are_no_sites_and_hospitals_are(tmp_path: Path) -> None:
    parts = written(tmp_path / "parts", "train/sick/a.png", "test/healthy/b.png")
    assert {(site, label) for _, _, site, label in found(build_index(parts, section()))} == {
        ("parts", "sick"),
        ("parts", "healthy"),
    }
    sites = written(tmp_path / "sites", "north/sick/a.png", "north/healthy/b.png", "south/sick/c.png")
    index = build_index(sites, section(one_class_sites="allow"))
    assert {(site, label) for _, _, site, label in found(index)} == {
        ("north", "sick"),
        ("north", "healthy"),
        ("south", "sick"),
    }


def test_the_level_that_the_study_names_is_the_class(tmp_path: Path) -> None:
    folder = written(tmp_path / "f", "sick/p1/a.png", "sick/p1/b.png", "healthy/p2/c.png", "healthy/p3/d.png")
    index = build_index(folder, section(patient_rule=r"/(p\d+)/"))
    assert [(patient, label) for _, patient, _, label in found(index)] == [
        ("p1", "sick"), ("p1", "sick"), ("p2", "healthy"), ("p3", "healthy")
    ]  # fmt: skip
    told = {finding.kind: finding.sentence for finding in index.findings}
    assert told["patient_from_name"].startswith(
        "3 patients are told apart by data.patient_rule in the names of 4 images"
    )


def test_a_rule_that_finds_nobody_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, "sick/7_a.png", "healthy/b.png")
    with pytest.raises(DataError, match=r"healthy/b\.png has no patient by data\.patient_rule"):
        build_index(folder, section(patient_rule=r"(\d+)_"))
    with pytest.raises(ValueError, match="patient_rule is no regular expression"):
        section(patient_rule="(")


def test_without_a_rule_it_is_looked_at_and_not_indexed(tmp_path: Path) -> None:
    folder = written(tmp_path, *(f"{name}/{n}.png" for name in ("healthy", "sick") for n in range(6)))
    with pytest.raises(DataError, match=r"Nothing says which images of .* are of one patient"):
        build_index(folder, section(patient_rule=None))
    report = inspect_data(folder)
    assert "labels: [healthy, sick]" in report.section
    assert "patient_rule: image" in report.section
    assert report.section_note == ""


def test_masks_are_no_images(tmp_path: Path) -> None:
    folder = written(tmp_path / "f", "images/a.png", "images/b.png", "masks/a.png", "masks/c.png")
    index = build_index(folder, section(labels=["any"]))
    assert [(path, label) for path, _, _, label in found(index)] == [
        ("images/a.png", "any"),
        ("images/b.png", "any"),
    ]
    assert {each.reason: each.count for each in index.excluded} == {
        'named as the mask of an image, which data.columns.mask "masks/{name}" uses': 1,
        "in a folder of masks": 1,
    }


def test_a_heap_of_images_has_one_class_and_one_site(tmp_path: Path) -> None:
    folder = written(tmp_path / "heap", "a.png", "deep/b.png")
    assert found(build_index(folder, section(labels=["any"]))) == [
        ("a.png", "a.png", "heap", "any"),
        ("deep/b.png", "deep/b.png", "heap", "any"),
    ]
