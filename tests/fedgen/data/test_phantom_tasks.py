"""Phantoms of every task: pairs, covariates, translation and volumes, read as a study reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedgen.data.phantom.patient import draw_patient
from fedgen.data.phantom.public import MASKS, PhantomMask, public_phantoms
from fedgen.data.prepare import prepare_sites
from fedgen.errors import StudyError
from fedgen.recipe import Recipe
from fedgen.study.data import Intensity
from fedgen.study.model import PhantomPrior
from fedgen.study.study import Study
from fedgen.training.task_records import fields_of

TISSUES = {
    "columns": {"mask": "tissue_mask"}, "unmasked": "exclude", "mask_classes": ["csf", "gray", "white"],
}  # fmt: skip


def study(task: dict[str, Any], size=(32, 32), model: dict[str, Any] | None = None, **data: Any) -> Study:
    base = {"image_size": size, "phantom": {"sites": 1, "patients": 6}, "one_class_sites": "allow"}
    return Study.model_validate(
        {
            "study": {"name": "t"},
            "data": base | data,
            "task": task,
            "model": model or {},
            "aggregation": {"secure": False},
            "privacy": {"mode": "none"},
            **({"synthesis": {"formats": ["nifti"]}} if task.get("kind") != "translate" else {}),
        }
    )


def fields(asked: Study, tmp_path: Path) -> dict[str, torch.Tensor]:
    site = prepare_sites(asked, None, tmp_path / "own", tmp_path / "cache").sites[0]
    return fields_of(asked.made, site, torch.arange(site.n_images))


def test_pairs_of_an_image_and_its_tissues(tmp_path) -> None:
    found = fields(study({"makes": ["image", "mask"]}, modality="T1w", **TISSUES), tmp_path)
    image, mask = found["image"], found["mask"] > 0
    assert mask.shape[1:] == (3, 32, 32)
    assert bool((mask.sum(dim=1) <= 1).all()) and bool(mask.flatten(2).any(dim=2).all())
    dark, gray, white = (float(image[:, :1][mask[:, k : k + 1]].mean()) for k in range(3))
    # T1-weighted.
    assert dark < gray < white


def test_lesions_are_where_their_masks_are(tmp_path) -> None:
    lesions = {"columns": {"mask": "mask"}, "unmasked": "exclude", "mask_classes": ["lesion"]}
    asked = study({"makes": ["image", "mask"]}, modality="T1w", labels=["none", "lesion"], **lesions)
    found = fields(asked, tmp_path)
    assert torch.equal(found["mask"].flatten(1).amax(dim=1) > 0, found["class"] == 1)


def test_age_and_sex_change_the_head() -> None:
    rng = np.random.default_rng(0)
    some = [draw_patient("public", n, "none", rng) for n in range(300)]
    age = np.array([each.age for each in some])
    assert age.min() >= 24 and age.max() <= 86
    assert np.corrcoef(age, [each.head.ventricles for each in some])[0, 1] > 0.8
    width = {sex: np.mean([each.head.width for each in some if each.sex == sex]) for sex in "FM"}
    assert width["M"] > width["F"] + 0.015


@pytest.mark.parametrize("size", [(32, 32), (16, 16, 16)])
def test_covariates_reach_the_records(tmp_path, size) -> None:
    known = {"age": {"lower": 20, "upper": 90}, "sex": {"values": ["F", "M"]}}
    found = fields(study({"given": ["covariates"]}, size, modality="T1w", labels=["none"], covariates=known,
                         other_labels="exclude"), tmp_path)  # fmt: skip
    assert found["covariates"].shape[1] == 3
    assert float(found["covariates"][:, 0].std()) > 0 and bool(
        (found["covariates"][:, 1:].sum(dim=1) == 1).all()
    )


@pytest.mark.parametrize("size", [(32, 32), (16, 16, 16)])
@pytest.mark.parametrize("paired", [True, False])
def test_one_contrast_is_made_from_the_other(tmp_path, size, paired) -> None:
    asked = study({"kind": "translate", "target": "T2w"}, size, contrasts=["T1w", "T2w"], paired=paired)
    found = fields(asked, tmp_path)
    if paired:
        # Of one anatomy: what is bright in one is dark in the other, but both end at the scalp.
        inside = found["T1w"] > -0.6
        assert float(((found["T2w"] > -0.6) & inside).sum() / inside.sum()) > 0.9
        assert bool((found["present"] == 1).all())
    assert set(found) >= {"T1w", "T2w"}


def test_volumes_are_heads_with_masks(tmp_path) -> None:
    asked = study({"makes": ["image", "mask"]}, (16, 32, 32), modality="T1w",
                  **{**TISSUES, "columns": {"mask": "dseg"}})  # fmt: skip
    found = fields(asked, tmp_path)
    assert found["image"].shape == (6, 1, 16, 32, 32) and found["mask"].shape == (6, 3, 16, 32, 32)
    inside = (found["mask"] > 0).any(dim=1).flatten(2).sum(dim=2)
    # Closed above, narrow below, and widest between.
    assert bool((inside[:, 0] < 0.6 * inside[:, 8]).all()) and bool(
        (inside[:, -1] < 0.3 * inside[:, 8]).all()
    )
    mean = found["image"][:, 0][(found["mask"][:, 2] > 0)].mean()
    assert float(mean) > float(found["image"][:, 0][(found["mask"][:, 0] > 0)].mean())


def test_public_phantoms_have_masks_where_they_are_asked_for() -> None:
    few = PhantomPrior(patients=20, components=3, donors=5)
    images = public_phantoms(few, "T1w", (32, 32), Intensity())
    pairs = public_phantoms(
        few, "T1w", (32, 32), Intensity(), PhantomMask("tissue_mask", MASKS["tissue_mask"])
    )
    assert np.array_equal(pairs[:, :1], images)
    assert set(np.unique(pairs[:, 1:])) == {-1.0, 1.0} and pairs.shape == (20, 4, 32, 32)


def test_candidates_are_pairs_where_the_task_makes_pairs() -> None:
    prior = {"phantom": {"patients": 30, "components": 8, "donors": 30}}
    model = {"family": "candidates", "prior": prior}
    start = Recipe.of(study({"makes": ["image", "mask"]}, (16, 16), model, modality="T1w", **TISSUES))
    assert start.make_start().prior.donors.shape == (30, 4, 16, 16)
    others = {**TISSUES, "columns": {"mask": "bones"}}
    with pytest.raises(StudyError, match=r"has the masks mask .up to 1 classes. and tissue_mask"):
        Recipe.of(study({"makes": ["image", "mask"]}, (16, 16), model, modality="T1w", **others)).make_start()
