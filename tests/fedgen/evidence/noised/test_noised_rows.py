"""What noised sums are read as: near the truth without noise, and nothing where there is too much of it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fedgen.evidence.noised.bins import BINS, edges_about, edges_of, shares_of
from fedgen.evidence.noised.block import Sums
from fedgen.evidence.noised.noised_membership import NoisedMembership
from fedgen.evidence.noised.noised_moments import frechet, moments_block
from fedgen.evidence.noised.noised_worth import public_classifier, worth_blocks
from fedgen.run.row import Verdict

FLAT = np.full(BINS, 1 / BINS)
LEAKY = np.array([0, 0, 0, 0, 0, 1.0])


def membership(members: np.ndarray, others: np.ndarray, noise: float, epsilon: float = 1.0):
    block = NoisedMembership(None, None, 0.05, epsilon, 1e-5)
    return block.row(Sums(np.concatenate([members, others]), noise, 1))


@pytest.mark.parametrize(
    ("members", "others", "noise", "epsilon", "verdict", "said"),
    [
        (400 * FLAT, 200 * FLAT, 2.0, 1.0, Verdict.REVIEW, "would have seen an AUC of 0.[56]"),
        (8 * FLAT, 4 * FLAT, 4.0, 1.0, Verdict.INSUFFICIENT, "no AUC at all would have been seen"),
        (40 * FLAT, 40 * FLAT, 3.0, 1.0, Verdict.INSUFFICIENT, "no AUC below about 0.[789]"),
        (400 * LEAKY, 200 * FLAT, 2.0, 0.3, Verdict.FAIL, "permits"),
        (400 * LEAKY, 200 * FLAT, 2.0, 9.0, Verdict.REVIEW, "score higher than held-out"),
        (400 * LEAKY, 400 * LEAKY, 2.0, 1.0, Verdict.INSUFFICIENT, "in one bin"),
    ],
)
def test_an_attack_is_judged_by_what_could_have_been_seen(
    members, others, noise, epsilon, verdict, said
) -> None:
    row = membership(members, others, noise, epsilon)
    assert row.verdict is verdict
    assert row.reason is not None and re.search(said, row.reason)


def test_nothing_passes_on_one_noised_attack() -> None:
    for noise in (0.0, 1.0, 5.0):
        assert membership(1000 * FLAT, 1000 * FLAT, noise).verdict is not Verdict.PASS


def test_bins_are_those_of_the_synthetic_scores() -> None:
    scores = np.linspace(0, 1, 601)
    assert shares_of(scores, edges_of(scores)) == pytest.approx(FLAT, abs=0.01)
    about = edges_about(np.linspace(0.4, 0.9, 400), 0.5)
    assert about[BINS // 2 - 1] == 0.5 and (np.diff(about) > 0).all()
    one_sided = edges_about(np.linspace(0.6, 0.9, 50), 0.5)
    assert one_sided[:2].tolist() == pytest.approx([0.5 / 3, 1.0 / 3])
    told = shares_of(np.array([np.nan, 0.1, 2.0]), np.linspace(0.2, 0.8, BINS - 1))
    assert told.sum() == pytest.approx(2 / 3)


def test_worth_without_noise_is_what_the_classifier_finds(released) -> None:
    made, test = released(0, 60), released(1, 60)
    (block,) = worth_blocks(made, ("none", "lesion"), 1.0, 0.05)
    classifier = public_classifier(made, 2)
    assert classifier is not None
    p = classifier(test.images)[:, 1]
    labels = test.labels.numpy()
    told = [60 * shares_of(p[labels == k], block.edges) / 2 for k in (1, 0)]
    row = block.row(Sums(np.concatenate(told), 0.0, 1))
    auroc, accuracy, off = row.values
    exact = np.mean(p[labels == 1][:, None] > p[labels == 0][None])
    assert auroc.value == pytest.approx(exact, abs=0.06)
    assert accuracy.value == pytest.approx(np.mean((p >= 0.5) == labels))
    assert off.value == pytest.approx(np.mean(p) - 0.5, abs=0.1)
    lost = block.row(Sums(np.ones(2 * BINS), 30.0, 1))
    assert [value.value for value in lost.values] == [None] * 3
    assert (lost.values[0].low, lost.values[0].high) == (0.0, 1.0)


def test_a_release_of_one_class_trains_no_classifier(released) -> None:
    made = released(0, 12)
    assert worth_blocks(type(made)(made.images, 0 * made.labels), ("none", "lesion"), 1.0, 0.05) == ()


def test_moments_tell_a_difference_from_none(released) -> None:
    made, alike = released(0, 80), released(3, 80)
    block = moments_block(made, 1.0)

    def told(images, noise):
        points = block.space.points(images)
        each = [block._told(p, np.outer(p, p)) for p in points]
        return block.row(Sums(np.sum(each, axis=0), noise, 1))

    same, other = told(alike.images, 0.05), told(0.3 * alike.images, 0.05)
    assert same.values[0].value <= same.values[1].value * 1.5
    assert other.values[0].value > 2 * other.values[1].value
    assert told(alike.images, 100.0).values[0].value is None


def test_frechet_of_two_gaussians() -> None:
    """Closed form where covariances are diagonal."""
    zero, one = np.zeros(2), np.eye(2)
    assert frechet(zero, one, zero, one) == pytest.approx(0, abs=1e-9)
    assert frechet(zero, one, np.array([3.0, 4.0]), 4 * one) == pytest.approx(25 + 2)
