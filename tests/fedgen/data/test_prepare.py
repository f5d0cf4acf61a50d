"""The one call of the pipeline: identical when repeated, refused when the data changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fedgen.data.build import build_index
from fedgen.data.cache import decoded_sites as cache_module
from fedgen.data.prepare import Prepared, prepare_sites
from fedgen.data.site_data import Part
from fedgen.errors import DataError, StudyError
from fedgen.study.study import Study


def study(seed: int = 1, **data: Any) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "test", "seed": seed},
            "aggregation": {"secure": False},
            "data": {"image_size": (16, 16), **data},
        }
    )


def same(a: Prepared, b: Prepared) -> bool:
    tensors = ("images", "labels", "patients", "parts")
    return (
        a.findings == b.findings
        and a.shared_patients == b.shared_patients
        and [site.site for site in a.sites] == [site.site for site in b.sites]
        and all(
            torch.equal(getattr(x, name), getattr(y, name))
            for x, y in zip(a.sites, b.sites, strict=True)
            for name in tensors
        )
    )


def test_a_phantom_study_resumes_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = study(phantom={"sites": 2, "patients": 6}, modality="T1w", columns={"mask": "mask"})
    first = prepare_sites(asked, None, tmp_path / "data", tmp_path / "cache")
    assert [site.n_patients for site in first.sites] == [6, 6]
    for site in first.sites:
        assert site.masks is not None
        # Every lesion image has a mask, and no other.
        assert torch.equal(site.masks.flatten(1).any(dim=1), site.labels == 1)
        assert {int(part) for part in site.parts} == {0, 1, 2}
        for part in Part:
            assert site.part(part).n_patients >= 1
    written = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()}
    assert set(written) == {"index.json", "split.json", "findings.json"}
    monkeypatch.setattr(cache_module, "decode_site", lambda *_: pytest.fail("decoded again"))
    again = prepare_sites(asked, None, tmp_path / "data", tmp_path / "cache")
    assert same(first, again)
    assert {
        path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()
    } == written


def test_without_data_or_phantom(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="give the folder of the images, or set data"):
        prepare_sites(study(), None, tmp_path / "data", tmp_path / "cache")


def test_split_file_names_no_patient(png_folder: Path, tmp_path: Path) -> None:
    prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "cache")
    text = (tmp_path / "data" / "split.json").read_text()
    patients = build_index(png_folder, study().data).patients
    assert not any(patient in text for patient in patients)
    value = json.loads(text)
    assert len(value["patients"]) == len(patients)
    assert set(value["patients"].values()) == {"train", "audit", "test"}
    # Another run hashes the same patients to other names.
    prepare_sites(study(), png_folder, tmp_path / "data2", tmp_path / "cache")
    other = json.loads((tmp_path / "data2" / "split.json").read_text())
    assert not set(other["patients"]) & set(value["patients"])


def test_a_split_once_fixed_cannot_change(png_folder: Path, tmp_path: Path, png_rows, write_rows) -> None:
    prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "cache")
    with pytest.raises(DataError, match="a patient held out then could train now"):
        prepare_sites(study(seed=2), png_folder, tmp_path / "data", tmp_path / "cache")
    write_rows(png_folder / "metadata.csv", [row for row in png_rows if row["patient"] != "north3"])
    with pytest.raises(DataError, match="a patient held out then could train now"):
        prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "cache")
    (tmp_path / "data" / "split.json").write_text("{}")
    with pytest.raises(DataError, match="is damaged"):
        prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "cache")


@pytest.mark.parametrize("seed", range(6))
def test_patients_who_share_an_image_stay_together(
    png_folder: Path, tmp_path: Path, png_rows, write_rows, seed: int
) -> None:
    images = png_folder / "images"
    for other in ("south-0-0", "south-5-1"):
        (images / f"{other}.png").write_bytes((images / "north-1-0.png").read_bytes())
    prepared = prepare_sites(study(seed), png_folder, tmp_path / "data", tmp_path / "cache")
    north, south = prepared.sites
    parts = {int(north.parts[2]), int(south.parts[0]), int(south.parts[10])}
    assert len(parts) == 1
    joined = [finding for finding in prepared.findings if finding.kind == "joined_patients"]
    assert [finding.count for finding in joined] == [3]
    assert "north1" not in joined[0].sentence


@pytest.mark.parametrize("seed", range(4))
def test_patients_who_share_a_picture_that_was_saved_anew_stay_together(
    png_folder: Path, tmp_path: Path, seed: int
) -> None:
    images = png_folder / "images"
    copy = Image.open(images / "north-1-0.png").point(lambda value: int(0.9 * value + 10))
    for other in ("south-0-0", "south-5-1"):
        copy.resize((56, 40)).save(images / f"{other}.png")
    prepared = prepare_sites(study(seed), png_folder, tmp_path / "data", tmp_path / "cache")
    north, south = prepared.sites
    assert len({int(north.parts[2]), int(south.parts[0]), int(south.parts[10])}) == 1
    (joined,) = [finding for finding in prepared.findings if finding.kind == "joined_patients"]
    assert joined.count == 3


def test_a_patient_at_two_sites_is_in_one_part_and_reported(
    png_folder: Path, tmp_path: Path, png_rows, write_rows
) -> None:
    for row in png_rows:
        row["patient"] = row["patient"].replace("south2", "north2")
    write_rows(png_folder / "metadata.csv", png_rows)
    for seed in range(5):
        prepared = prepare_sites(study(seed), png_folder, tmp_path / str(seed), tmp_path / "cache")
        assert prepared.shared_patients == 1
        index = build_index(png_folder, study(seed).data)
        parts = {
            int(site.parts[row])
            for site in prepared.sites
            for row, entry in enumerate(index.at(site.site))
            if entry.patient == "north2"
        }
        assert len(parts) == 1
        (finding,) = [f for f in prepared.findings if f.kind == "patient_at_several_sites"]
        assert "their epsilon is the sum over the sites" in finding.sentence


def test_partial_masks_and_wrong_windows_are_reported(
    png_folder: Path, tmp_path: Path, png_rows, write_rows
) -> None:
    Image.fromarray(np.eye(20, 28, dtype=np.uint8)).save(png_folder / "mask.png")
    for number, row in enumerate(png_rows):
        row["mask"] = "mask.png" if row["site"] == "north" and number else ""
    write_rows(png_folder / "metadata.csv", png_rows)
    asked = study(columns={"mask": "mask"}, intensity={"upper": 10000.0})
    prepared = prepare_sites(asked, png_folder, tmp_path / "data", tmp_path / "cache")
    north, south = prepared.sites
    assert north.masks is not None
    assert north.masked is not None
    assert south.masks is None
    # One image of the north has none; those of the others are kept, and nothing is marked in it.
    assert north.masked.tolist() == north.masks.flatten(1).any(dim=1).tolist()
    assert int(north.masked.sum()) == 15
    counts = {finding.kind: finding.count for finding in prepared.findings}
    assert counts["missing_masks"] == 17
    assert counts["narrow_intensity"] == 32


def test_an_output_folder_that_cannot_be_written(png_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"Cannot write .*give this user the right to"):
        prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "file" / "cache")
    with pytest.raises(DataError, match=r"Cannot write .*give this user the right to"):
        prepare_sites(study(), png_folder, tmp_path / "file" / "data", tmp_path / "cache")
