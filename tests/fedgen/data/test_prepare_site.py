"""A hospital's own folder is one site, split as it would be among all of them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from fedgen.data.build import build_index
from fedgen.data.cache import decoded_sites as cache_module
from fedgen.data.index import PatientIndex, read_index
from fedgen.data.phantom.write import phantom_sites, write_phantom, write_phantom_site
from fedgen.data.prepare import prepare_site, prepare_sites
from fedgen.data.site_data import Part, SiteData
from fedgen.errors import DataError
from fedgen.study.data import Phantom
from fedgen.study.study import Study


def study(seed: int = 1, **data: Any) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "test", "seed": seed},
            "aggregation": {"secure": False},
            "data": {"image_size": (16, 16), **data},
        }
    )


def part_of_each(index: PatientIndex, data: SiteData, site: str) -> dict[str, Part]:
    identities = sorted({entry.patient for entry in index.at(site)})
    return {identities[int(p)]: Part(int(part)) for p, part in zip(data.patients, data.parts, strict=True)}


def equal(a: SiteData, b: SiteData) -> bool:
    tensors = ("images", "labels", "patients", "parts")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors) and (
        (a.masks is None and b.masks is None)
        or (a.masks is not None and b.masks is not None and torch.equal(a.masks, b.masks))
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_dicom_site_alone_is_the_site_among_all(tmp_path: Path, seed: int) -> None:
    phantom = Phantom(sites=3, patients=12)
    asked = study(seed, modality="T1w", columns={"mask": "mask"})
    write_phantom(tmp_path / "all", phantom, 1, (32, 32))
    whole = prepare_sites(asked, tmp_path / "all", tmp_path / "data", tmp_path / "cache")
    for name, among in zip(phantom_sites(phantom), whole.sites, strict=True):
        write_phantom_site(tmp_path / name, phantom, name, 1, (32, 32))
        own = tmp_path / f"own-{name}"
        alone = prepare_site(asked, tmp_path / name, f"St. {name}", own, tmp_path / f"cache-{name}")
        assert alone.data.site == f"St. {name}"
        assert alone.data.masks is not None
        assert equal(alone.data, among)
        mine = build_index(tmp_path / name, asked.data, site=f"St. {name}")
        everybody = build_index(tmp_path / "all", asked.data)
        assert part_of_each(mine, alone.data, f"St. {name}") == part_of_each(everybody, among, name)
        assert {entry.site for entry in read_index(own / "index.json").entries} == {f"St. {name}"}


@pytest.mark.parametrize("keep_site_column", [True, False])
def test_a_table_site_alone_is_the_site_among_all(
    png_folder: Path, tmp_path: Path, png_rows, write_rows, keep_site_column: bool
) -> None:
    whole = prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "cache")
    north = [dict(row) for row in png_rows if row["site"] == "north"]
    if not keep_site_column:
        for row in north:
            del row["site"]
    (tmp_path / "north").mkdir()
    others = shutil.ignore_patterns("south*")
    shutil.copytree(png_folder / "images", tmp_path / "north" / "images", ignore=others)
    write_rows(tmp_path / "north" / "metadata.csv", north)
    alone = prepare_site(study(), tmp_path / "north", "a", tmp_path / "own", tmp_path / "own-cache")
    assert (alone.data.site, alone.data.classes) == ("a", ("none", "lesion"))
    assert equal(alone.data, whole.sites[0])


def test_whatever_sites_the_files_name_they_are_one(
    png_folder: Path, tmp_path: Path, png_rows, write_rows
) -> None:
    names = ["Klinik I", "Klinik, I", "", "--"]
    for n, row in enumerate(png_rows):
        row["site"] = names[n % 4]
        row["patient"] = f"p{n // 4}"
    write_rows(png_folder / "metadata.csv", png_rows)
    with pytest.raises(DataError):
        prepare_sites(study(), png_folder, tmp_path / "data", tmp_path / "cache")
    alone = prepare_site(study(), png_folder, "Ours", tmp_path / "own", tmp_path / "own-cache")
    assert alone.data.n_patients == 8
    assert alone.data.n_images == 32
    assert not {finding.kind for finding in alone.findings} & {"patient_at_several_sites", "site_from_folder"}


def test_dicom_without_institutions(tmp_path: Path) -> None:
    import pydicom

    phantom = Phantom(sites=1, patients=4)
    write_phantom(tmp_path / "p", phantom, 1, (32, 32))
    for path in (tmp_path / "p").rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.InstitutionName = ""
        dataset.save_as(path)
    alone = prepare_site(study(modality="T1w"), tmp_path / "p", "Ours", tmp_path / "own", tmp_path / "cache")
    assert alone.data.site == "Ours"
    assert "site_from_folder" not in {finding.kind for finding in alone.findings}


def test_a_bids_folder_needs_no_site_column(bids_folder: Path, tmp_path: Path) -> None:
    participants = bids_folder / "participants.tsv"
    lines = [line.split("\t") for line in participants.read_text().splitlines()]
    participants.write_text(
        "\n".join("\t".join(c for i, c in enumerate(line) if i != 2) for line in lines) + "\n"
    )
    asked = study(modality="T1w", labels=("F", "M"), columns={"label": "sex"})
    whole = prepare_sites(asked, bids_folder, tmp_path / "data", tmp_path / "cache")
    assert [site.site for site in whole.sites] == ["bids"]
    assert "site_from_folder" in {finding.kind for finding in whole.findings}
    alone = prepare_site(asked, bids_folder, "Ours", tmp_path / "own", tmp_path / "own-cache")
    assert alone.data.site == "Ours"
    assert alone.data.n_patients == 2


def test_a_second_call_is_identical_decodes_nothing_and_keeps_the_split(
    png_folder: Path, tmp_path: Path, png_rows, write_rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, cache = tmp_path / "own", tmp_path / "cache"
    first = prepare_site(study(), png_folder, "Ours", own, cache)
    written = {path.name: path.read_bytes() for path in own.iterdir()}
    assert set(written) == {"index.json", "split.json", "findings.json"}
    split = json.loads(written["split.json"])["patients"]
    assert len(split) == 16
    assert "north" not in written["split.json"].decode()
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "decode_site", lambda *_: pytest.fail("decoded again"))
        again = prepare_site(study(), png_folder, "Ours", own, cache)
    assert equal(first.data, again.data)
    assert first.findings == again.findings
    assert {path.name: path.read_bytes() for path in own.iterdir()} == written
    # Other patients, another seed: who was held out could train now.
    with pytest.raises(DataError, match="a patient held out then could train now"):
        prepare_site(study(seed=2), png_folder, "Ours", own, cache)
    write_rows(png_folder / "metadata.csv", [row for row in png_rows if row["patient"] != "north3"])
    with pytest.raises(DataError, match="a patient held out then could train now"):
        prepare_site(study(), png_folder, "Ours", own, cache)


def test_the_checks_are_those_of_all_sites(png_folder: Path, tmp_path: Path, png_rows, write_rows) -> None:
    arguments = ("Ours", tmp_path / "own", tmp_path / "cache")
    shutil.copy(png_folder / "images" / "north-1-0.png", png_folder / "images" / "south-0-0.png")
    alone = prepare_site(study(), png_folder, *arguments)
    assert [f.count for f in alone.findings if f.kind == "joined_patients"] == [2]
    with (png_folder / "metadata.csv").open() as handle:
        rows = [{**row, "label": "none"} for row in csv.DictReader(handle)]
    write_rows(png_folder / "metadata.csv", rows)
    with pytest.raises(DataError, match=r"1 site holds a single class: Ours \(none\)"):
        prepare_site(study(), png_folder, *arguments)
    with pytest.raises(DataError, match="is not a folder"):
        prepare_site(study(), tmp_path / "gone", *arguments)
