"""Curves: equal counts in all arms, what too few synthetic images give, and synthetic images that teach."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.downstream.classifier import augmented_once
from fedgen.evidence.downstream.linear import LinearJudge
from fedgen.evidence.downstream.worth_curves import Curves
from fedgen.evidence.measure import Real
from fedgen.run.row import Row
from fedgen.study.evaluation_section import EvaluationSection


def rows_of(site: SiteData, made: LabelledImages, **options: object) -> dict[str, Row]:
    measure = Curves(EvaluationSection.model_validate({"bootstrap": 100, "ratios": (), **options}))
    return {row.id: row for row in measure.measure(Real([site]), made, None, 0)}


def test_every_ratio_has_controls_of_the_same_count_and_classes(
    make_site: Callable[..., SiteData],
    make_synthetic: Callable[..., LabelledImages],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, ...]] = []
    judge = LinearJudge.__call__

    def told(self: LinearJudge, features, labels, test, classes):  # type: ignore[no-untyped-def]
        assert len(features) == len(labels)
        seen.append(tuple(torch.tensor(labels).bincount().tolist()))
        return judge(self, features, labels, test, classes)

    monkeypatch.setattr(LinearJudge, "__call__", told)
    site = make_site(patients=36)
    made = make_synthetic(40)
    found = rows_of(site, made, ratios=(0.5, 1.0, 2.0))
    assert list(found) == [
        "ratio-synthetic", "ratio-duplicated", "ratio-augmented",
        "ratio-synthetic-against-duplicated", "ratio-synthetic-against-augmented",
    ]  # fmt: skip
    # 36 training images: 18 and 36 were added, and of 72 there are not enough.
    assert [sum(each) for each in seen] == [36, *[54, 54, 54, 72, 72, 72] * 3]
    assert seen[1:7] == seen[7:13] == seen[13:19]
    names = ["ratio 0", "ratio 0.5", "ratio 1", "ratio 2"]
    for arm in ("synthetic", "duplicated", "augmented"):
        values = found[f"ratio-{arm}"].values
        assert [value.name for value in values] == names
        assert [value.value is None for value in values] == [False, False, False, True]
        assert values[3].note == "Fewer synthetic images than that."
        assert values[0] == found["ratio-synthetic"].values[0]
    lead = found["ratio-synthetic-against-duplicated"].values[0]
    expected = [found[f"ratio-{arm}"].values[1].value for arm in ("synthetic", "duplicated")]
    assert lead.value == pytest.approx(expected[0] - expected[1])
    assert lead.low is not None and lead.low <= lead.value <= lead.high


def test_little_real_data_gains_most_by_good_synthetic_images(
    make_site: Callable[..., SiteData], make_synthetic: Callable[..., LabelledImages]
) -> None:
    found = rows_of(make_site(patients=48), make_synthetic(60), shares=(0.01, 1.0))
    alone, more, lead = (found[f"low-data-{each}"] for each in ("real", "with-synthetic", "difference"))
    assert [value.name for value in alone.values] == ["1 %", "100 %"]
    low, whole = (value.value for value in alone.values)
    assert low is not None and whole is not None and low < whole
    assert more.values[0].value is not None and more.values[0].value > low
    assert lead.values[0].value == pytest.approx(more.values[0].value - low)


def test_nothing_is_asked_for_and_nothing_is_measured(
    make_site: Callable[..., SiteData], make_synthetic: Callable[..., LabelledImages]
) -> None:
    assert rows_of(make_site(), make_synthetic(10)) == {}


def test_each_image_is_augmented_once() -> None:
    images = torch.rand(5, 1, 16, 16) * 2 - 1
    again = augmented_once(images, 0)
    assert again.shape == images.shape and not torch.equal(again, images)
    assert torch.equal(again, augmented_once(images, 0)) and len(augmented_once(images[:0], 0)) == 0
