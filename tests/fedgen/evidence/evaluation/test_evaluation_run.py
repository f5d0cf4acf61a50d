"""run_evaluation: the JSON contract, limits, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.errors import DataError
from fedgen.evidence.downstream.downstream import Arm, Cell, Downstream, Score
from fedgen.evidence.evaluate import run_evaluation
from fedgen.evidence.limits import limits_of
from fedgen.study.training import EvaluationSection

MakeSite = Callable[..., SiteData]
MakeSynthetic = Callable[..., LabelledImages]
FAST = EvaluationSection(seeds=2, steps=3, bootstrap=100)


def evaluate(sites: list[SiteData], synthetic: LabelledImages) -> dict[str, Any]:
    return run_evaluation(FAST, sites, synthetic, seed=7).to_json()


def test_the_json_keeps_its_contract(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    sites = [make_site("a", patients=36), make_site("b", patients=12, seed=1, one_class=True)]
    steps: list[str] = []
    result = run_evaluation(FAST, sites, make_synthetic(), seed=7, progress=steps.append).to_json()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result) == {"n", "fidelity", "diversity", "downstream", "limits", "seed"}
    assert result["n"] == {
        "train_images": 48,
        "train_patients": 24,
        "test_images": 32,
        "test_patients": 16,
        "synthetic_images": 60,
    }
    assert [(row["extractor"]["name"], row["metric"]) for row in result["fidelity"]] == [
        ("radiomics", "FID"), ("radiomics", "KID"), ("random_conv", "FID"), ("random_conv", "KID"),
    ]  # fmt: skip
    for row in result["fidelity"]:
        assert set(row) == {
            "extractor", "metric", "value", "std", "floor", "floor_std", "n_real", "n_synthetic", "note",
        }  # fmt: skip
        assert set(row["extractor"]) == {"name", "hash", "dimensions"} and len(row["extractor"]["hash"]) == 64
    assert result["diversity"]["metric"] == "MS-SSIM" and result["diversity"]["scales"] == 2
    assert [set(entry) for entry in result["diversity"]["classes"]] == [
        {"class", "synthetic", "real", "pairs", "note"}
    ] * 2
    for arm in result["downstream"]["arms"]:
        assert set(arm) == {"arm", "title", "n_train", "pooled", "per_site"}
        assert set(arm["pooled"]) == {"auroc", "balanced_accuracy", "note"}
        assert set(arm["pooled"]["auroc"]) == {"value", "low", "high", "std_seeds"}
        assert [(row["site"], row["test_patients"]) for row in arm["per_site"]] == [("a", 12), ("b", 4)]
        assert arm["per_site"][1]["auroc"] is None and arm["per_site"][1]["note"]
    assert result["downstream"]["steps"] == 3 and result["downstream"]["seeds"] == 2
    assert result["limits"] and all(sentence.endswith(".") for sentence in result["limits"])
    assert len(steps) == 8


def test_equal_seeds_give_equal_results(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    site, synthetic = make_site(patients=24), make_synthetic(20)
    fast = EvaluationSection(extractors=("random_conv",), seeds=1, steps=3, bootstrap=100)
    first, again = (run_evaluation(fast, [site], synthetic, seed=7).to_json() for _ in range(2))
    assert first == again


def test_the_smallest_study_has_reasons_for_all_it_lacks(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    result = evaluate([make_site(patients=2, each=1)], make_synthetic(3))
    json.dumps(result, allow_nan=False)
    assert all(row["value"] is None and row["note"] for row in result["fidelity"])
    assert all(entry["real"] is None and entry["note"] for entry in result["diversity"]["classes"])
    for arm in result["downstream"]["arms"]:
        assert arm["pooled"]["auroc"] is None and arm["pooled"]["note"] == "There is no test patient."


def test_a_study_of_one_class_has_no_downstream_task(make_site: MakeSite) -> None:
    site = replace(make_site(patients=24, one_class=True), classes=("none",))
    result = evaluate(
        [site], LabelledImages(torch.rand(20, 1, 32, 32) * 2 - 1, torch.zeros(20, dtype=torch.int64))
    )
    assert all("one class" in arm["pooled"]["note"] for arm in result["downstream"]["arms"])
    assert result["downstream"]["task"] == "None: the study has one class, none."
    assert all(row["value"] is not None for row in result["fidelity"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: LabelledImages(s.images[..., :16], s.labels), "1 x 32 x 16"),
        (lambda s: LabelledImages(s.images * torch.nan, s.labels), "diverged"),
        (lambda s: LabelledImages(s.images, s.labels + 1), "0 to 1"),
        (lambda s: LabelledImages(s.images[:0], s.labels[:0]), "empty"),
    ],
)
def test_unusable_synthetic_sets_are_refused(
    change: Callable[[LabelledImages], LabelledImages],
    message: str,
    make_site: MakeSite,
    make_synthetic: MakeSynthetic,
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate([make_site()], change(make_synthetic(8)))


def test_no_site_and_other_classes_are_refused(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    with pytest.raises(DataError, match="no site"):
        evaluate([], make_synthetic(8))
    with pytest.raises(DataError, match="other classes"):
        evaluate([make_site("a"), replace(make_site("b"), classes=("x", "y"))], make_synthetic(8))


@pytest.mark.parametrize(("low", "said"), [(0.45, False), (0.55, True)])
def test_a_control_away_from_chance_is_said(low: float, said: bool) -> None:
    cell = Cell({"auroc": Score(0.6, low, 0.8, None), "balanced_accuracy": None}, None)
    limits = limits_of(Downstream((Arm("TSTR-shuffled", 10, cell, ()),), (), (40,)))
    assert any("not at chance" in sentence for sentence in limits) is said
    assert not any(sentence.startswith("Only") for sentence in limits)
