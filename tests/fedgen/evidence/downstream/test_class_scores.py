"""Inception and mode score against torchmetrics, closed forms, and the set that fools them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchmetrics.image.inception import InceptionScore

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.downstream.class_scores import ClassScores, inception_score, mode_score
from fedgen.evidence.measure import Real
from fedgen.study.evaluation_section import EvaluationSection


class _Given(torch.nn.Module):
    num_features = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_the_inception_score_is_that_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    library = InceptionScore(feature=_Given(), splits=1, normalize=False)
    library.update(torch.tensor(logits))
    assert inception_score(p, np.ones((1, 50)))[0] == pytest.approx(float(library.compute()[0]), rel=1e-5)


def test_scores_of_clear_unclear_and_missing_classes() -> None:
    clear, none = np.eye(4), np.full((4, 4), 0.25)
    one = np.tile([1.0, 0, 0, 0], (4, 1))
    ones, even = np.ones((1, 4)), np.full(4, 0.25)
    assert [float(inception_score(p, ones)[0]) for p in (clear, none, one)] == pytest.approx([4, 1, 1])
    assert float(mode_score(clear, ones, even)[0]) == pytest.approx(4)
    # One class of four: KL to even shares is log 4.
    assert float(mode_score(one, ones, even)[0]) == pytest.approx(0.25)


def test_weights_are_repetitions_and_mode_never_exceeds_inception() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), 20)
    weights = rng.integers(1, 4, (3, 20)).astype(float)
    expected = rng.dirichlet(np.ones(3))
    found = inception_score(p, weights)
    for weight, score in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(20), weight.astype(int))
        assert score == pytest.approx(inception_score(p[rows], np.ones((1, len(rows))))[0])
    assert (mode_score(p, weights, expected) <= found + 1e-12).all()


def test_rows_of_a_release_of_one_class_and_of_a_good_one(
    make_site: Callable[..., SiteData], make_synthetic: Callable[..., LabelledImages]
) -> None:
    site, good = make_site(patients=36), make_synthetic(40)
    measure = ClassScores(EvaluationSection(bootstrap=100))

    def modes(made: LabelledImages) -> dict[str, tuple[float, float]]:
        rows = measure.measure(Real([site]), made, None, 0)
        return {row.id: tuple(value.value for value in row.values[:2]) for row in rows}  # type: ignore[misc]

    one = LabelledImages(good.images[good.labels == 0], good.labels[good.labels == 0])
    # The judge is strongly regularised and so never very sure: what is said is said beside real images.
    clear, real = modes(good)["inception-score"]
    assert 1 < modes(one)["inception-score"][0] < clear <= 2 and clear == pytest.approx(real, rel=0.15)
    assert modes(one)["mode-score"][0] < modes(one)["inception-score"][0]
    alone = Real([make_site(patients=2, each=1)])
    assert all(row.values[0].value is None and row.note for row in measure.measure(alone, good, None, 0))
