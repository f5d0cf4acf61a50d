"""A distance over sites from their sums: that of all patients in one place, and nothing of a site with few."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.join import join
from fedgen.evidence.leave import leave
from fedgen.evidence.measure import Real
from fedgen.evidence.metrics.feature_moments import FeatureMoments, frechet
from fedgen.evidence.metrics.joined_distance import (
    ALL,
    DIMENSIONS,
    HERE,
    LEAST,
    RELEASE,
    SUMS,
    JoinedDistance,
    Whitening,
    class_weights,
    jackknife,
    together,
)
from fedgen.run.row import LeavingRows, Row
from fedgen.study.evaluation_section import EvaluationSection

MakeSite = Callable[..., SiteData]
MakeSynthetic = Callable[..., LabelledImages]
MEASURE = JoinedDistance(EvaluationSection(extractors=("random_conv",)))


def rows_of(sites: list[SiteData], made: LabelledImages) -> list[Row]:
    return list(MEASURE.measure(Real(sites), made, None, 0))


def test_the_release_has_mean_0_and_covariance_1_in_its_own_directions() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(80, 12, generator=rng) @ torch.randn(12, 12, generator=rng)
    features[:, 3] = 1
    whiten = Whitening.of(features)
    assert whiten is not None
    seen = FeatureMoments.of(whiten(features))
    assert seen.mean == pytest.approx(0, abs=1e-9)
    assert seen.covariance == pytest.approx(np.eye(DIMENSIONS), abs=1e-9)
    assert whiten.fingerprint == Whitening.of(features).fingerprint  # type: ignore[union-attr]
    assert Whitening.of(features[:5]) is None and Whitening.of(torch.ones(20, 12)) is None


def test_weights_give_the_releases_shares() -> None:
    labels, wanted = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 1, 1, 3])
    weights = class_weights(labels, wanted)
    assert weights.sum() == pytest.approx(5)
    assert weights[:3].sum() == pytest.approx(5 / 3) and weights[3] == pytest.approx(10 / 3)
    assert weights[4] == 0


def test_the_distance_of_the_sums_is_that_of_all_patients_in_one_place(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    made = make_synthetic(40)
    sites = [
        make_site(name, patients=p, each=1, seed=k) for k, (name, p) in enumerate([("a", 120), ("b", 168)])
    ]
    told = {site.site: leave(rows_of([site], made), 3) for site in sites}
    for rows in told.values():
        TypeAdapter(LeavingRows).validate_python(rows)
    (joined,) = (together(row) for row in join(told))
    (whole,) = (together(row) for row in rows_of(sites, made))
    assert joined.id == whole.id == "joined-FID-random_conv"
    ours, all_patients = joined.get(ALL), whole.get(ALL)
    assert ours is not None and all_patients is not None and ours.value is not None
    assert ours.value == pytest.approx(all_patients.value, rel=1e-9) and ours.without == ()
    # The sums themselves are in no file of the run's result.
    assert [[value.name for value in part.values] for part in joined.per_site] == [[HERE], [HERE]]
    assert joined.n == {"held_out_images": 144, "held_out_patients": 144}


def test_a_site_with_few_patients_keeps_its_sums_and_is_named(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    made = make_synthetic(40)
    large, small = make_site("large", patients=120, each=1), make_site("small", patients=24, each=3)
    told = {site.site: leave(rows_of([site], made), 3) for site in (large, small)}
    (row,) = told["small"]
    assert [value.name for value in row.values] == [HERE]
    assert row.note == f"Fewer than {LEAST} held-out patients: the {SUMS} sums stay at the site."
    (joined,) = (together(row) for row in join(told))
    (alone,) = (together(row) for row in join({"large": told["large"]}))
    value = joined.get(ALL)
    assert value is not None and value.without == ("small",)
    assert value.value == pytest.approx(alone.values[0].value)
    (nobody,) = (together(row) for row in join({"small": told["small"]}))
    assert nobody.values[0].value is None and nobody.note


def test_sums_along_other_directions_are_not_added(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    site, other = make_site("a", patients=120, each=1), make_site("b", patients=120, each=1, seed=1)
    told = {"a": rows_of([site], make_synthetic(40)), "b": rows_of([other], make_synthetic(40, seed=7))}
    (joined,) = (together(row) for row in join(told))
    assert joined.values[0].value is None and "other directions" in (joined.note or "")


def test_real_images_are_nearer_than_damaged_ones(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    site, good = make_site(patients=120, each=1), make_synthetic(60)
    rng = torch.Generator().manual_seed(0)
    noisy = LabelledImages(
        (good.images + 0.3 * torch.randn(good.images.shape, generator=rng)).clamp(-1, 1), good.labels
    )
    near, far = (rows_of([site], made)[0].values[0].value for made in (good, noisy))
    assert near is not None and far is not None and near < far


def test_moments_with_weights_are_those_of_repetitions() -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(30, 4)), rng.integers(1, 4, 30)
    weighted = FeatureMoments.of(x, weights * 30 / weights.sum())
    repeated = FeatureMoments.of(np.repeat(x, weights, axis=0))
    assert weighted.mean == pytest.approx(repeated.mean)
    scale = (repeated.n - 1) / repeated.n * weighted.n / (weighted.n - 1)
    assert weighted.covariance == pytest.approx(repeated.covariance * scale)
    assert frechet(weighted, weighted) == pytest.approx(0, abs=1e-8)


def sites_like(rng: np.random.Generator, k: int, n: int, spread: float = 0.0) -> list[FeatureMoments]:
    """Moments of k sites of a population about 2 along the first direction, each a little elsewhere."""
    middle = np.eye(DIMENSIONS)[0] * 2
    return [
        FeatureMoments.of(rng.normal(size=(n, DIMENSIONS)) + middle + spread * rng.normal(size=DIMENSIONS))
        for _ in range(k)
    ]


def test_the_interval_over_sites_is_a_jackknife_and_holds_what_all_sites_would_have() -> None:
    rng = np.random.default_rng(0)
    sites = sites_like(rng, 4, 100, spread=0.2)
    whole = frechet(sites[0] + sites[1] + sites[2] + sites[3], RELEASE)
    low, high = jackknife(whole, sites)
    # The pseudo-values of Tukey have the mean's standard error.
    left = [
        frechet(a + b + c, RELEASE)
        for a, b, c in (sites[1:], sites[:1] + sites[2:], sites[:2] + sites[3:], sites[:3])
    ]
    pseudo = [4 * whole - 3 * each for each in left]
    error = np.std(pseudo, ddof=1) / 2
    assert (low, high) == pytest.approx((whole - 3.18245 * error, whole + 3.18245 * error), rel=1e-4)
    assert jackknife(whole, sites[:2]) == (None, None)
    # The population's distance is 2^2; where sites differ too, of the mixture that they are drawn from.
    held = 0
    for _ in range(200):
        drawn = sites_like(rng, 6, 200)
        found = frechet(reduce(add, drawn), RELEASE)
        low, high = jackknife(found, drawn)
        assert low is not None and high is not None
        held += low <= 4 <= high
    assert held >= 180


def test_three_sites_give_an_interval_and_two_do_not(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    made = make_synthetic(40)
    sites = [make_site(name, patients=120, each=1, seed=k) for k, name in enumerate("abc")]
    told = {site.site: leave(rows_of([site], made), 3) for site in sites}
    (joined,) = (together(row) for row in join(told))
    value = joined.get(ALL)
    assert value is not None and value.value is not None and value.low is not None and value.high is not None
    assert value.low <= value.value <= value.high
    (fewer,) = (together(row) for row in join({name: told[name] for name in "ab"}))
    assert (fewer.values[0].low, fewer.values[0].high) == (None, None)
