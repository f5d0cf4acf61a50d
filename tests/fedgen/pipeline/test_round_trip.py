"""From DICOM to DICOM: what a study reads, trains on and releases can be indexed again without loss."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fedgen.data.build import build_index
from fedgen.data.decode import DecodedSite, decode_site
from fedgen.data.geometry import site_geometry
from fedgen.data.index import PatientIndex
from fedgen.data.load import decoding_findings
from fedgen.pipeline.runner import run_again
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import PREPARE, SYNTHESIZE, TRAIN
from fedgen.run.summary import RunSummary
from fedgen.study.data import DataSection
from fedgen.study.study import Study
from fedgen.synthesis.samples import read_samples


@pytest.fixture
def made(tmp_path: Path, tiny_study: Callable[..., Study], direct: None) -> Simulation:
    """A study of the phantom's DICOM files, hardly trained, with its release as DICOM."""
    study = tiny_study(
        data={"modality": "T1w", "image_size": (32, 32), "phantom": {"sites": 2, "patients": 8}},
        training={"rounds": 1},
        privacy={"mode": "none"},
        synthesis={"images": 8, "formats": ("dicom",)},
    )
    here = Simulation.create(study, None, tmp_path, accepted=True)
    for stage in (PREPARE, TRAIN, SYNTHESIZE):
        run_again(here, stage)
    return here


def reread(folder: Path, data: DataSection) -> tuple[PatientIndex, DecodedSite]:
    index = build_index(folder, data)
    return index, decode_site(folder, index.entries, data)


def test_a_release_keeps_geometry_labels_and_intensities(made: Simulation) -> None:
    data, samples = made.work.study.data, made.work.run.samples
    image = RunSummary.read(made.work.run).image
    assert image is not None
    # What the phantom's files said of their slices is what the release says of its own.
    assert image == made.data.sites[0].grid
    assert image.orientation == "PR"
    assert image.spacing == pytest.approx((220 / 32, 220 / 32), rel=1e-3)
    synthetic = read_samples(samples)
    index, decoded = reread(samples, data.model_copy(update={"modality": None}))
    assert index.layout == "table"
    assert site_geometry(index.entries, data) == (image.spacing, image.orientation)
    with (samples / "labels.csv").open(encoding="utf-8") as table:
        row_of = {row["image"]: int(row["index"]) for row in csv.DictReader(table)}
    for number, entry in enumerate(index.entries):
        row = row_of[entry.path]
        assert entry.label == data.labels[int(synthetic.labels[row])]
        assert entry.patient == f"synthetic-{row}"
        # Whole numbers of a window of 255: half a step, in [-1, 1].
        np.testing.assert_allclose(decoded.images[number], synthetic.images[row], atol=0.51 / 127.5)
    told = {finding.kind for finding in decoding_findings(index, {"synthetic": decoded}, data)}
    assert told.isdisjoint({"saturated", "narrow_intensity", "below_window"})


def test_a_release_is_an_export_like_any_other(made: Simulation, tmp_path: Path) -> None:
    data, samples = made.work.study.data, made.work.run.samples
    export = tmp_path / "export"
    export.mkdir()
    rows: list[dict[str, Any]] = []
    with (samples / "labels.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            dataset = pydicom.dcmread(samples / row["image"])
            (export / row["image"]).write_bytes((samples / row["image"]).read_bytes())
            rows.append({"SOPInstanceUID": dataset.SOPInstanceUID, "label": row["label"]})
    with (export / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, ["SOPInstanceUID", "label"])
        writer.writeheader()
        writer.writerows(rows)
    index, _ = reread(export, data.model_copy(update={"modality": "MR"}))
    assert (index.layout, index.sites, len(index.patients)) == ("dicom", ("synthetic",), 8)
    assert {entry.label for entry in index.entries} == set(data.labels)
    image = RunSummary.read(made.work.run).image
    assert image is not None
    assert site_geometry(index.entries, data) == (image.spacing, image.orientation)
