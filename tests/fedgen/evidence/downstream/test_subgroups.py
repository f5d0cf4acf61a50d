"""Subgroups: what is grouped, a planted gap, and a gap of groups that are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.downstream import taught_arms
from fedgen.evidence.downstream.cells import describe
from fedgen.evidence.downstream.downstream import Downstream
from fedgen.evidence.downstream.subgroups import Subgroups, groupings, random_gaps
from fedgen.evidence.leave import leave
from fedgen.evidence.measure import Real
from fedgen.evidence.pooled import pooled
from fedgen.run.row import Row
from fedgen.study.data import Covariate
from fedgen.study.evaluation_section import EvaluationSection

SEX = Covariate(values=("F", "M"))
AGE = Covariate(lower=20.0, upper=80.0)


def known(site: SiteData, sex: torch.Tensor, age: torch.Tensor) -> SiteData:
    """A site whose patients have a sex (0 or 1) and an age in years."""
    numbers = torch.cat([torch.nn.functional.one_hot(sex, 2), (age[:, None] - 50) / 30], dim=1)
    return replace(site, covariates=numbers.float())


def test_groupings_are_values_thirds_of_a_range_and_sites(make_site: Callable[..., SiteData]) -> None:
    sites = [make_site(name, patients=24, seed=k) for k, name in enumerate("ab")]
    sites = [known(s, s.patients % 2, 20.0 + 60 * s.patients / 24) for s in sites]
    sex, age, site = groupings(Real(sites, covariates={"sex": SEX, "age": AGE}))
    assert (sex.groups, age.groups) == (("F", "M"), ("age 20 to 40", "age 40 to 60", "age 60 to 80"))
    assert site.groups == ("a", "b")
    tested = torch.cat([s.patients[s.parts == int(Part.TEST)] for s in sites]).numpy()
    assert sex.of.tolist() == (tested % 2).tolist()
    assert age.of.tolist() == np.minimum(tested // 8, 2).tolist()
    assert [each.name for each in groupings(Real(sites[:1]))] == []


def test_a_gap_of_random_groups_is_that_of_scikit_learns_areas() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    p = np.stack([1 - (s := rng.random(80) + 0.3 * labels), s], axis=1)
    patients, of = np.arange(80) // 2 * 2 + labels, np.arange(80) // 40
    gaps = random_gaps(labels, p, patients, of, [0, 1], seed=1)
    assert len(gaps) == 200 and gaps.min() >= 0
    whole = roc_auc_score(labels, p[:, 1])
    assert 0 < gaps.mean() < 0.3 and 0.4 < whole < 1


def row_of(
    site: SiteData, sex: torch.Tensor, probabilities: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Row:
    """The row of TRTR, whose network thinks so of the test images."""
    site = replace(site, covariates=torch.nn.functional.one_hot(sex, 2).float())
    real = Real([site], covariates={"sex": SEX})
    test = pooled(real, Part.TEST)
    every = [each.numpy() for each in (test.labels, test.patients, test.sites)]
    everywhere = describe(np.arange(test.n_images), *every, site.classes, replicates=100, seed=0)
    found = Downstream((), (), None, (), {"TRTR": {"network": [probabilities]}}, everywhere)
    monkeypatch.setattr(taught_arms, "taught_arms", lambda *asked: found)
    made = LabelledImages(site.images[:0], site.labels[:0])
    (row,) = Subgroups(EvaluationSection(bootstrap=100)).measure(real, made, None, 0)
    assert row.id == "subgroups-sex-TRTR"
    return row


def opinions(labels: torch.Tensor, sure: torch.Tensor) -> np.ndarray:
    """Class probabilities that follow the label where `sure`, and luck elsewhere."""
    luck = np.random.default_rng(3).normal(size=len(labels))
    score = 1 / (1 + np.exp(-(luck + np.where(sure, 3.0 * labels.numpy(), 0))))
    return np.stack([1 - score, score], axis=1)


@pytest.mark.parametrize("planted", [True, False])
def test_a_planted_gap_is_more_than_luck_and_none_is_not(
    planted: bool, make_site: Callable[..., SiteData], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(patients=240, each=1, side=16)
    sex = site.patients // 12 % 2
    tested = site.parts == int(Part.TEST)
    sure = (sex[tested] == 0) | (not planted)
    row = row_of(site, sex, opinions(site.labels[tested], sure), monkeypatch)
    assert [value.name for value in row.values] == [
        "AUROC, F", "AUROC, M", "worst group", "gap", "gap of random groups", "p, gap",
    ]  # fmt: skip
    gap, luck, p = (row.values[k].value for k in (3, 4, 5))
    assert gap is not None and luck is not None and p is not None
    areas = [value.value for value in row.values[:2]]
    labels, group = site.labels[tested].numpy(), sex[tested].numpy()
    thought = opinions(site.labels[tested], sure)[:, 1]
    assert areas == pytest.approx([roc_auc_score(labels[group == g], thought[group == g]) for g in (0, 1)])
    assert gap == pytest.approx(max(areas) - min(areas)) and row.values[2].value == pytest.approx(min(areas))
    assert p < 0.02 if planted else p > 0.1, (areas, gap, luck, p)
    if planted:
        assert row.values[2].note == "M" and gap > 2 * luck


def test_a_small_group_keeps_the_row_at_its_site(
    make_site: Callable[..., SiteData], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(patients=96, each=1, side=16)
    tested = site.parts == int(Part.TEST)
    sex = torch.isin(site.patients, site.patients[tested][:8]).long()
    every = torch.ones(int(tested.sum()), dtype=torch.bool)
    row = row_of(site, sex, opinions(site.labels[tested], every), monkeypatch)
    assert row.n["patients_of_the_smallest_group"] == 8
    (left,) = leave([row], 10)
    assert left.values == () and left.note == "Too few patients: the numbers stay at the site."
