"""The judges see what is there to see, are not fooled by sites and shuffles, and a blind one is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.downstream import classifier, stopping
from fedgen.evidence.downstream.arms import SHUFFLED, SITE_ALONE, TrainingSet
from fedgen.evidence.downstream.believed import real_task, synthetic_worth
from fedgen.evidence.downstream.cells import METRICS, Score
from fedgen.evidence.downstream.downstream import (
    Arm,
    CellScores,
    Difference,
    Downstream,
    measure_downstream,
)
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.downstream.network import Lesson, learn
from fedgen.evidence.downstream.site_alone import site_alone
from fedgen.evidence.downstream.stopping import held_out, steps_to_train
from fedgen.evidence.pooled import PooledImages, pool
from fedgen.run.row import Verdict, worst
from fedgen.study.load import load_study

MakeSite = Callable[..., SiteData]


def measure(
    sites: list[SiteData], synthetic: LabelledImages | None = None, *, steps: int = 60, seeds: int = 1
) -> Downstream:
    train = pool(sites, (Part.TRAIN,))
    return measure_downstream(
        train,
        pool(sites, (Part.TEST,)),
        synthetic or LabelledImages(train.images, train.labels),
        sites[0].classes,
        n_sites=len(sites),
        steps=steps,
        seeds=seeds,
        bootstrap=200,
        seed=0,
    )


def verdicts(found: Downstream) -> tuple[Verdict, ...]:
    return tuple(
        worst(*(each.verdict for each in part)) for part in (real_task(found), synthetic_worth(found))
    )


def said(findings: tuple) -> str:
    return " ".join(each.sentence for each in findings)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> tuple[PooledImages, PooledImages]:
    """Training and test patients of the demo's phantoms, fewer of them: a small lesion anywhere."""
    folder = tmp_path_factory.mktemp("phantom")
    study = load_study("demo", ["data.phantom.patients=60"])
    sites = prepare_sites(study, None, folder / "data", folder / "cache").sites
    return pool(sites, (Part.TRAIN,)), pool(sites, (Part.TEST, Part.AUDIT))


@pytest.mark.slow
def test_both_judges_see_the_phantoms_lesions_as_a_random_forest_does(
    phantom: tuple[PooledImages, PooledImages],
) -> None:
    train, test = phantom
    data = TrainingSet(train.images, train.labels, train.patients, torch.arange(train.n_images))
    labels = test.labels.numpy()
    (found,) = learn([Lesson((data,))], test.images, 2, most=200, seed=0)
    network = roc_auc_score(labels, found[0][:, 1])
    judge = LINEAR["simple"]
    simple = judge(judge.features(train.images), train.labels.numpy(), judge.features(test.images), 2)
    forest = RandomForestClassifier(100, random_state=0).fit(
        train.images.flatten(1).numpy(), train.labels.numpy()
    )
    reference = roc_auc_score(labels, forest.predict_proba(test.images.flatten(1).numpy())[:, 1])
    assert network >= 0.97 and network >= reference - 0.02
    assert roc_auc_score(labels, simple[:, 1]) >= 0.95


@pytest.mark.slow
def test_a_network_that_keeps_positions_is_found_to_be_blind(
    phantom: tuple[PooledImages, PooledImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    def strided(channels: int, height: int, width: int, classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * height * width // 16, classes),
        )

    monkeypatch.setattr(classifier, "build_classifier", strided)
    train, test = phantom
    found = measure_downstream(
        train, test, LabelledImages(train.images, train.labels), ("none", "lesion"),
        n_sites=4, steps=100, seeds=1, bootstrap=200, seed=0,
    )  # fmt: skip
    assert verdicts(found) == (Verdict.INSUFFICIENT, Verdict.INSUFFICIENT)
    assert "does not learn the real task" in said(synthetic_worth(found))


def test_a_planted_lesion_is_seen(make_site: MakeSite) -> None:
    found = measure([make_site("a", patients=48), make_site("b", patients=48, seed=1)], steps=100)
    assert verdicts(found) == (Verdict.PASS, Verdict.PASS)
    for control in SHUFFLED:
        shuffled = next(each for each in found.arms if each.arm == control).pooled.scores
        assert shuffled["auroc"] is not None and shuffled["auroc"].std_seeds is None
        assert shuffled["simple"] is not None and abs(shuffled["simple"].value - 0.5) < 0.15
        assert shuffled["simple"].value < shuffled["simple"].high < 0.95


def test_labels_that_say_nothing_are_chance(make_site: MakeSite) -> None:
    def scrambled(site: SiteData, seed: int) -> SiteData:
        rng = torch.Generator().manual_seed(seed)
        return replace(
            site, labels=torch.randint(2, (24,), generator=rng).repeat_interleave(2)[: len(site.labels)]
        )

    sites = [make_site("a", patients=24), make_site("b", patients=24, seed=1)]
    found = measure([scrambled(site, i) for i, site in enumerate(sites)], steps=40)
    assert verdicts(found)[0] is Verdict.INSUFFICIENT


def by_site(make_site: MakeSite, make_images: Callable[..., Tensor]) -> list[SiteData]:
    """Two sites of other brightness; three in four patients of one are of class 1, one in four of the other."""
    sites = []
    for number, brightness in enumerate((-0.4, 0.4)):
        site = make_site(str(number), patients=48, seed=number)
        patient = site.patients
        labels = (((patient // 12 + patient) % 4 == 0) != bool(number)).long()
        images = make_images(torch.zeros_like(labels), seed=number) * 0.3 + brightness
        sites.append(replace(site, labels=labels, images=images.half()))
    return sites


def test_a_set_whose_label_is_only_the_site_is_said_to_measure_the_site(
    make_site: MakeSite, make_images: Callable[..., Tensor]
) -> None:
    sites = by_site(make_site, make_images)
    found = measure(sites, steps=30)
    alone = {arm.arm: arm.pooled.scores for arm in found.arms}["site-alone"]
    assert alone["auroc"] is not None and alone["auroc"].value > 0.65
    assert alone["within"] is not None and alone["within"].value == 0.5
    trtr, tstr = real_task(found), synthetic_worth(found)
    assert trtr[0].verdict is Verdict.INSUFFICIENT
    assert "site alone" in said(trtr) or "chance" in said(trtr)
    assert tstr[0].verdict is Verdict.INSUFFICIENT


def scored(**scores: float) -> Downstream:
    """What was found where each arm has this AUROC, within 0.05, by both judges, and the site alone has 0.7."""

    def cell(value: float) -> CellScores:
        return CellScores(dict.fromkeys(METRICS, Score(value, value - 0.05, value + 0.05, None)), None)

    arms = {"TRTR": 0.9, "TRTR-shuffled": 0.5, "TSTR-shuffled": 0.5, **scores, SITE_ALONE: 0.7}
    return Downstream(
        tuple(Arm(name, 9, cell(value), ()) for name, value in arms.items()),
        tuple(
            Difference(arm, SITE_ALONE, metric, value - 0.7, value - 0.75, value - 0.65)
            for arm, value in arms.items()
            for metric in METRICS
        ),
        Score(0.0, -0.02, 0.02, None),
        (20, 20),
    )


@pytest.mark.parametrize(
    ("tstr", "verdict", "sentence"),
    [
        (0.85, Verdict.PASS, "beats its controls"),
        (0.72, Verdict.REVIEW, "it measures the site, not the picture"),
        (0.6, Verdict.REVIEW, "it measures the site, not the picture"),
        (0.52, Verdict.REVIEW, "not surely better than chance."),
    ],
)
def test_a_synthetic_set_has_to_beat_chance_and_the_site(
    tstr: float, verdict: Verdict, sentence: str
) -> None:
    found = scored(TSTR=tstr)
    assert verdicts(found) == (Verdict.PASS, verdict)
    assert sentence in said(synthetic_worth(found))


@pytest.mark.parametrize("arm", ["TRTR", "TSTR"])
def test_an_arm_that_shuffled_labels_reach_by_luck_is_no_result(arm: str) -> None:
    found = scored(**{"TSTR": 0.85, f"{arm}-shuffled": 0.86})
    of_real, of_synthetic = real_task(found), synthetic_worth(found)
    assert "shuffled labels give by luck" in said(of_real if arm == "TRTR" else of_synthetic)
    expected = (
        (Verdict.INSUFFICIENT, Verdict.INSUFFICIENT) if arm == "TRTR" else (Verdict.PASS, Verdict.REVIEW)
    )
    assert verdicts(found) == expected


def test_the_judge_that_is_behind_the_other_is_called_blind() -> None:
    found = scored(TSTR=0.85)
    assert verdicts(replace(found, ahead=Score(0.1, 0.04, 0.2, None)))[0] is Verdict.INSUFFICIENT
    assert verdicts(replace(found, ahead=Score(0.1, -0.01, 0.2, None)))[0] is Verdict.PASS
    assert verdicts(replace(found, ahead=Score(-0.1, -0.2, -0.04, None))) == (Verdict.REVIEW, Verdict.PASS)
    assert verdicts(scored(TRTR=0.72, TSTR=0.72)) == (Verdict.INSUFFICIENT,) * 2


def test_one_who_knows_the_site_alone_gives_its_shares() -> None:
    def numbers(*values: int) -> Tensor:
        return torch.tensor(values)

    found = site_alone(numbers(0, 0, 0, 1, 1, 1), numbers(0, 0, 0, 0, 1, 1), numbers(1, 0, 2), 2)
    # Of the third site no patient was in training: all sites together.
    assert found.tolist() == [[0, 1], [0.75, 0.25], [0.5, 0.5]]


def test_the_rule_of_stopping_parts_patients_and_sees_no_other_image(make_site: MakeSite) -> None:
    train = pool([make_site(patients=48)], (Part.TRAIN,))
    data = TrainingSet(train.images, train.labels, train.patients, torch.arange(train.n_images))
    inner = held_out(data, 2, seed=0)
    assert inner is not None and 0.1 < float(inner.float().mean()) < 0.4
    assert not set(data.patients[inner].tolist()) & set(data.patients[~inner].tolist())
    assert data.labels[inner].unique().tolist() == data.labels[~inner].unique().tolist() == [0, 1]
    few = TrainingSet(data.images[:3], torch.tensor([0, 0, 1]), torch.arange(3), torch.arange(3))
    assert held_out(few, 2, seed=0) is None and steps_to_train(few, 2, most=150, seed=0) == 150


def test_training_stops_where_nothing_more_is_learnt(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = pool([make_site(patients=24)], (Part.TRAIN,))
    data = TrainingSet(train.images, train.labels, train.patients, torch.arange(train.n_images))
    losses = iter([0.6, 0.4, *[0.5] * 50])
    monkeypatch.setattr(stopping, "_loss", lambda *_: next(losses))
    monkeypatch.setattr(stopping, "LEAST", 10)
    assert steps_to_train(data, 2, most=1000, seed=0) == 2 * stopping.EVERY
    assert len(list(losses)) == 50 - stopping.PATIENCE
    assert steps_to_train(data, 2, most=7, seed=0) == 7


@pytest.mark.parametrize("name", LINEAR)
def test_a_class_that_a_set_lacks_is_never_predicted(name: str) -> None:
    rng = np.random.default_rng(0)
    found = LINEAR[name](rng.normal(size=(20, 3)), np.arange(20) % 2 * 2, rng.normal(size=(5, 3)), 3)
    assert found.shape == (5, 3) and (found[:, 1] == 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(5))
