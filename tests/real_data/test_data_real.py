"""Indexing, inspecting and splitting real images; skipped where they are absent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from fedgen.data.inspect.faces import Face
from fedgen.data.inspect.head_volumes import faces_in
from fedgen.data.inspect.look import inspect_data
from fedgen.data.prepare import Prepared, prepare_sites
from fedgen.data.site_data import Part
from fedgen.study.study import Study

DATA = Path(__file__).parents[3] / "shared" / "data"


def real(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"real images ({name}) are not on this machine")
    return DATA / name


def prepare(folder: Path, tmp_path: Path, task: dict[str, Any] | None = None, **data: Any) -> Prepared:
    study = Study.model_validate(
        {
            "study": {"name": "real"},
            "aggregation": {"secure": False},
            "data": {"image_size": (64, 64), **data},
            "task": task or {},
        }
    )
    first = prepare_sites(study, folder, tmp_path / "data", tmp_path / "cache")
    again = prepare_sites(study, folder, tmp_path / "data", tmp_path / "cache")
    assert first.findings == again.findings
    for one, other in zip(first.sites, again.sites, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.parts, other.parts)
        assert torch.isfinite(one.images).all()
        assert one.images.abs().max() <= 1
    return first


def test_chest_films(tmp_path: Path) -> None:
    prepared = prepare(
        real("ccx"),
        tmp_path,
        labels=("COVID-19", "Other pneumonia"),
        other_labels="exclude",
        one_class_sites="allow",
        columns={"patient": "patient_id"},
    )
    sites = {site.site: site for site in prepared.sites}
    assert {name: site.n_images for name, site in sites.items()} == {
        "australia_americas": 36,
        "europe_other": 33,
        "hannover": 238,
        "iberia": 42,
    }
    assert prepared.shared_patients == 0
    assert {(site.grid.spacing, site.grid.orientation) for site in prepared.sites} == {(None, "")}
    excluded = [finding for finding in prepared.findings if finding.kind == "excluded"]
    assert sum(finding.count for finding in excluded if "not in data.labels" in finding.sentence) == 19
    # The masks, which the table names and the study does not use.
    assert sum(finding.count for finding in excluded) == 19 + 78
    (single,) = [finding for finding in prepared.findings if finding.kind == "one_class_site"]
    assert "hannover (COVID-19)" in single.sentence
    for site in prepared.sites:
        for part in Part:
            assert site.part(part).n_patients >= 1
        assert site.part(Part.TRAIN).n_patients > site.n_patients / 2


def test_chest_films_hold_no_duplicates_and_no_colour(tmp_path: Path) -> None:
    report = inspect_data(real("ccx"))
    assert report.colours == {"gray": 368}
    assert report.patients == 149
    assert (report.exact_duplicates, report.near_duplicates, report.unreadable) == ((), (), ())


def test_brain_volumes(tmp_path: Path) -> None:
    prepared = prepare(
        real("brainmri"), tmp_path, modality="T1w", labels=("brain",), columns={"mask": "dseg"}
    )
    sites = {site.site: site for site in prepared.sites}
    # Seven slices a volume; ce-gad_T1w is another contrast and left out.
    assert {name: site.n_images for name, site in sites.items()} == {
        "ixi_hammersmith": 45 * 7,
        "ljubljana_ms": 3 * 7,
        "ljubljana_ms_long": 6 * 7,
        "tcia_glioma": 2 * 7,
    }
    assert sites["ljubljana_ms_long"].n_patients == 4
    # Axial slices of 80 x 64 voxels of 2.5 mm, cut from RAS, fitted into 64 x 64 pixels.
    assert {site.grid.orientation for site in prepared.sites} == {"PR"}
    assert {site.grid.spacing for site in prepared.sites} == {(3.125, 3.137)}
    masks = sites["ixi_hammersmith"].masks
    assert masks is not None
    brain = sites["ixi_hammersmith"].images > -0.9
    # The tissue labels lie on the brain, which a wrong turn of either would destroy.
    assert (masks.bool() & brain).sum() > 0.95 * masks.bool().sum()
    assert sites["ljubljana_ms"].masks is None
    reasons = Counter({f.sentence: f.count for f in prepared.findings if f.kind == "excluded"})
    assert sum(reasons.values()) == 101 + 11 + 11 + 5


def test_brain_volumes_by_a_column_of_participants(tmp_path: Path) -> None:
    prepared = prepare(
        real("brainmri"),
        tmp_path,
        modality="FLAIR",
        labels=("F", "M"),
        other_labels="exclude",
        one_class_sites="allow",
        columns={"label": "sex"},
    )
    assert [site.site for site in prepared.sites] == ["ljubljana_ms", "ljubljana_ms_long"]
    assert any(finding.kind == "excluded" and "no label" in finding.sentence for finding in prepared.findings)


@pytest.mark.slow
def test_the_known_duplicates_of_pneumoniamnist_are_found(tmp_path: Path) -> None:
    arrays = np.load(real("medmnist") / "pneumoniamnist.npz")
    lines = ["image,patient,site,label"]
    for part in ("train", "val"):
        for i, (image, label) in enumerate(
            zip(arrays[f"{part}_images"], arrays[f"{part}_labels"], strict=True)
        ):
            Image.fromarray(image).save(tmp_path / f"{part}-{i}.png", compress_level=1)
            lines.append(f"{part}-{i}.png,{part}-{i},{part},{('normal', 'pneumonia')[int(label[0])]}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    report = inspect_data(tmp_path)
    within = shared = 0
    for group in report.exact_duplicates:
        sites = Counter(image.site for image in group)
        within += max(0, sites["train"] - 1)
        shared += sites["val"] if sites["train"] else 0
    assert within == 18
    assert shared == 8
    assert report.shared_between_patients == report.exact_duplicates


def test_no_brain_is_taken_for_a_head_with_a_face() -> None:
    folder = real("brainmri")
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.nii.gz"))]
    brains = [path for path in files if "_dseg" not in path and "_mask" not in path]
    found = faces_in(folder, brains[::4], ())
    assert (found.counts, len(brains)) == ({Face.NONE: 21}, 83)


@pytest.mark.parametrize(
    ("name", "patients", "images", "labels"),
    [
        ("ccx", 149, 368, ["COVID-19", "Other pneumonia"]),
        ("brainmri", 54, 581, []),
        pytest.param("medmnist", 5856, 5856, ["0", "1"], marks=pytest.mark.slow),
        pytest.param("mnist", 70000, 70000, [str(n) for n in range(10)], marks=pytest.mark.slow),
    ],
)
def test_the_section_that_a_look_prints_works(
    name: str, patients: int, images: int, labels: list[str], tmp_path: Path
) -> None:
    report = inspect_data(real(name))
    assert (report.patients, report.images, report.section_note) == (patients, images, "")
    # No brain and no chest is taken for another's.
    assert name == "mnist" or report.near_duplicates == ()
    sections = yaml.safe_load(report.section)
    data = sections["data"]
    assert data["labels"] == labels
    prepared = prepare(real(name), tmp_path, sections.get("task"), **data)
    assert all(site.part(part).n_patients for site in prepared.sites for part in Part)
