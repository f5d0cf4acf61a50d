"""Evaluation of real chest X-rays: a disjoint half of the patients plays the synthetic set."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.assess import assess_evaluation
from fedgen.evidence.downstream.arms import TITLES
from fedgen.evidence.downstream.judged import judged
from fedgen.evidence.metrics.beside_floor import measure_distances
from fedgen.evidence.metrics.matched import choose_reference
from fedgen.evidence.pooled import pool
from fedgen.extractors.registry import build_extractor
from fedgen.study.load import load_study
from fedgen.study.study import Study

CCX = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ccx"
Prepare = Callable[[str, int], tuple[SiteData, ...]]
CLASSES = ("COVID-19", "Other pneumonia")
pytestmark = pytest.mark.skipif(not CCX.is_dir(), reason=f"{CCX} is absent")


@pytest.fixture(scope="module")
def halves() -> tuple[list[SiteData], LabelledImages]:
    """Sites of one random half of the patients, and the images of the other half."""
    with (CCX / "metadata.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["label"] in CLASSES]
    patients = sorted({row["patient_id"] for row in rows})
    order = np.random.default_rng(0).permutation(len(patients))
    generated = {patients[i] for i in order[: len(patients) // 2]}
    part_of = {patients[i]: part for i, part in zip(order, [0, 2, 1, 2] * len(patients), strict=False)}

    def images(chosen: list[dict[str, str]]) -> torch.Tensor:
        pixels = [np.asarray(Image.open(CCX / r["image"]).convert("L").resize((64, 64))) for r in chosen]
        return torch.from_numpy(np.stack(pixels)[:, None].astype(np.float32) / 127.5 - 1)

    def labels(chosen: list[dict[str, str]]) -> torch.Tensor:
        return torch.tensor([CLASSES.index(row["label"]) for row in chosen])

    sites = []
    for site in sorted({row["site"] for row in rows}):
        own = [row for row in rows if row["site"] == site and row["patient_id"] not in generated]
        numbers = {patient: i for i, patient in enumerate(sorted({row["patient_id"] for row in own}))}
        parts = torch.tensor([part_of[row["patient_id"]] for row in own])
        number = torch.tensor([numbers[row["patient_id"]] for row in own])
        sites.append(SiteData(site, CLASSES, images(own).half(), labels(own), number, parts))
    other = [row for row in rows if row["patient_id"] in generated]
    return sites, LabelledImages(images(other), labels(other))


@pytest.mark.parametrize("name", ["radiomics", "random_conv"])
def test_real_images_are_nearer_the_floor_than_blurred_ones(
    name: str, halves: tuple[list[SiteData], LabelledImages]
) -> None:
    sites, other = halves
    blurred = LabelledImages(
        torch.from_numpy(gaussian_filter(other.images.numpy(), (0, 0, 1.5, 1.5))), other.labels
    )
    extractor = build_extractor(name, 1)
    good, bad = (
        measure_distances(extractor, choose_reference(sites, s, CLASSES, seed=0), seed=0)
        for s in (other, blurred)
    )
    for real, damaged in zip(good, bad, strict=True):
        assert None not in (real.value, real.floor, real.floor_std, damaged.value)
        assert abs(real.value - real.floor) < 3 * (real.floor_std + real.std)
        assert damaged.value > real.value and damaged.value > real.floor


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """`prepared(label, seed)`: the sites of the preset, split by a seed, decoded once."""
    folder = tmp_path_factory.mktemp("ccx")

    @cache
    def prepare(label: str, seed: int) -> tuple[SiteData, ...]:
        own = {"label": [], "view": ["data.columns.label=view", "data.labels=[PA, AP]"]}[label]
        study = load_study("chest_xray", [*own, f"study.seed={seed}"])
        return tuple(prepare_sites(study, CCX, folder / f"{label}{seed}", folder / "cache").sites)

    return prepare


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["radiomics", "random_conv"])
def test_real_training_images_are_within_twice_the_floor(name: str, seed: int, prepared: Prepare) -> None:
    sites = prepared("label", seed)
    train = pool(sites, (Part.TRAIN,))
    made = LabelledImages(train.images, train.labels)
    reference = choose_reference(sites, made, sites[0].classes, seed=seed)
    for distance in measure_distances(build_extractor(name, 1), reference, seed=seed):
        assert distance.value is not None and distance.floor is not None
        assert distance.value < 2 * distance.floor


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "network", "simple", "texture"), [("label", 0.915, 0.93, 0.85), ("view", 0.87, 0.87, 0.9)]
)
def test_the_judges_learn_the_real_task(
    label: str, network: float, simple: float, texture: float, prepared: Prepare
) -> None:
    """Mean over both splits of the AUROC on all held-out patients."""
    scores = []
    for seed in (1, 2):
        sites = prepared(label, seed)
        train, test = pool(sites, (Part.TRAIN,)), pool(sites, (Part.TEST, Part.AUDIT))
        found = judged(
            train.images, train.labels, test.images, test.labels, patients=train.patients, seed=seed
        )
        scores.append([found[name] for name in ("network", "simple", "texture")])
    found = np.mean(scores, axis=0)
    assert (found >= (network, simple, texture)).all()


@pytest.mark.slow
def test_the_whole_evaluation_runs(halves: tuple[list[SiteData], LabelledImages]) -> None:
    sites, other = halves
    study = Study.model_validate(
        {
            "study": {"name": "t", "seed": 0},
            "data": {"labels": list(CLASSES)},
            "evaluation": {"seeds": 2, "steps": 60, "bootstrap": 200},
        }
    )
    result = assess_evaluation(study, sites, other)
    for arm in TITLES:
        row = next(row for row in result.rows if row.id == arm)
        (hannover,) = (part for part in row.per_site if part.site == "hannover")
        assert hannover.get("AUROC").value is None and "one class" in hannover.note
        assert row.get("AUROC").value is not None
    diversity = [row for row in result.rows if row.group == "diversity" and row.values]
    assert [row.title for row in diversity] == list(CLASSES)
    for row in diversity:
        assert row.get("synthetic").value == pytest.approx(row.get("real").value, abs=0.15)
    assert result.n["test_images"] == pool(sites, (Part.TEST,)).n_images
