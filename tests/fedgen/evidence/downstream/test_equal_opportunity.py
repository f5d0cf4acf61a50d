"""Equal opportunity: rates are recalls, a planted gap is more than luck, and small groups stay at their site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.downstream import taught_arms
from fedgen.evidence.downstream.cells import describe
from fedgen.evidence.downstream.downstream import Downstream
from fedgen.evidence.downstream.equal_opportunity import EqualOpportunity
from fedgen.evidence.leave import leave
from fedgen.evidence.measure import Real
from fedgen.evidence.pooled import pooled
from fedgen.run.row import Row
from fedgen.study.data import Covariate
from fedgen.study.evaluation_section import EvaluationSection

Asked = Callable[[SiteData, torch.Tensor, np.ndarray], Row]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The row of TRTR by group, whose network thinks so of the test images."""

    def row_of(site: SiteData, group: torch.Tensor, probabilities: np.ndarray) -> Row:
        groups = tuple(f"g{k}" for k in range(int(group.max()) + 1))
        site = replace(site, covariates=torch.nn.functional.one_hot(group, len(groups)).float())
        real = Real([site], covariates={"sex": Covariate(values=groups)})
        test = pooled(real, Part.TEST)
        every = [each.numpy() for each in (test.labels, test.patients, test.sites)]
        everywhere = describe(np.arange(test.n_images), *every, site.classes, replicates=100, seed=0)
        found = Downstream((), (), None, (), {"TRTR": {"network": [probabilities]}}, everywhere)
        monkeypatch.setattr(taught_arms, "taught_arms", lambda *_: found)
        made = LabelledImages(site.images[:0], site.labels[:0])
        (row,) = EqualOpportunity(EvaluationSection(bootstrap=100)).measure(real, made, None, 0)
        return row

    return row_of


def number(row: Row, name: str) -> float:
    value = row.get(name)
    assert value is not None and value.value is not None, name
    return float(value.value)


def decisions(labels: torch.Tensor, right: torch.Tensor, seed: int) -> np.ndarray:
    """Probabilities that decide for the label in a share `right` of images."""
    hit = torch.from_numpy(np.random.default_rng(seed).random(len(labels))) < right
    chosen = torch.where(hit, labels, 1 - labels)
    return torch.nn.functional.one_hot(chosen, 2).double().numpy() * 0.8 + 0.1


@pytest.mark.parametrize("planted", [True, False])
def test_rates_are_recalls_and_a_planted_gap_is_more_than_luck(
    planted: bool, make_site: Callable[..., SiteData], asked: Asked
) -> None:
    site = make_site(patients=300, each=1, side=16)
    tested = site.parts == int(Part.TEST)
    labels, group = site.labels[tested], (site.patients // 12 % 2)[tested]
    worse = (group == 1) & (labels == 1)
    thought = decisions(
        labels, torch.where(worse, 0.4, 0.9) if planted else torch.full((len(labels),), 0.8), 5
    )
    row = asked(site, site.patients // 12 % 2, thought)
    assert row.id == "opportunity-sex-TRTR"
    decided = thought.argmax(axis=1)
    for c, name in enumerate(site.classes):
        rates = [recall_score(labels[group == g], decided[(group == g).numpy()], pos_label=c) for g in (0, 1)]
        assert [number(row, f"TPR {name}, g{g}") for g in (0, 1)] == pytest.approx(rates)
        assert number(row, f"gap, {name}") == pytest.approx(abs(rates[0] - rates[1]))
    gap = row.get(f"gap, {site.classes[1]}")
    assert gap is not None and gap.low is not None and gap.high is not None and gap.value is not None
    assert gap.low <= gap.value <= gap.high
    p = number(row, f"p, gap, {site.classes[1]}")
    assert p < 0.02 if planted else p > 0.05
    assert number(row, f"p, gap, {site.classes[0]}") > 0.02


def test_the_luck_of_random_groups_is_that_of_a_naive_loop(
    make_site: Callable[..., SiteData], asked: Asked
) -> None:
    site = make_site(patients=200, each=1, side=16)
    tested = site.parts == int(Part.TEST)
    labels, group = site.labels[tested], (site.patients // 3 % 2)[tested]
    thought = decisions(labels, torch.full((len(labels),), 0.7), 2)
    row = asked(site, site.patients // 3 % 2, thought)
    own = (labels == 0).numpy()
    found, groups = thought.argmax(axis=1)[own] == 0, group.numpy()[own]
    rng, gaps = np.random.default_rng(7), []
    for _ in range(2000):
        dealt = rng.permutation(groups)
        gaps.append(abs(found[dealt == 0].mean() - found[dealt == 1].mean()))
    luck = number(row, f"gap of random groups, {site.classes[0]}")
    assert luck == pytest.approx(np.mean(gaps), abs=4 * np.std(gaps) / np.sqrt(200))


def test_the_fewest_patients_of_a_rate_keep_the_row_at_its_site(
    make_site: Callable[..., SiteData], asked: Asked
) -> None:
    site = make_site(patients=96, each=1, side=16)
    tested = site.parts == int(Part.TEST)
    few = torch.isin(site.patients, site.patients[tested][:8]).long()
    row = asked(site, few, decisions(site.labels[tested], torch.ones(int(tested.sum())), 1))
    counts = [int(((few[tested] == 1) & (site.labels[tested] == c)).sum()) for c in (0, 1)]
    assert row.n["patients_of_the_smallest_group"] == min(counts)
    (left,) = leave([row], 10)
    assert left.values == ()


def test_many_groups_leave_the_gaps_alone(make_site: Callable[..., SiteData], asked: Asked) -> None:
    site = make_site(patients=600, each=1, side=16)
    tested = site.parts == int(Part.TEST)
    row = asked(site, site.patients % 15, decisions(site.labels[tested], torch.ones(int(tested.sum())), 1))
    assert all("gap" in value.name for value in row.values) and row.values
    assert number(row, f"gap, {site.classes[0]}") == 0 and number(row, f"p, gap, {site.classes[0]}") == 1
