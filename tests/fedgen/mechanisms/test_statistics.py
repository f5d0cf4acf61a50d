"""A statistic: one bounded vector a patient, summed once, under either noise, and paid for before anybody is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.contract import Draws, Family, Statistic
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.mechanisms.schedule import Query, Turns
from fedgen.mechanisms.statistics import bounded, mean_of_site
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.task.records import Records
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.accounting import epsilon_prv, epsilon_rdp
from fedgen_privacy.ledger import Ledger
from fedgen_privacy.random import SecretRandom

SIZES = {"east": 6, "north": 9, "south": 9}
MODES = ("none", "local", "distributed")


class MeanBrightness(Statistic):
    """The patient's mean image in 4 x 4 blocks."""

    name = "brightness"
    length = 16
    #: The noise that `advance` was told of last.
    told = -1.0

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        return {}

    def vectors(self, networks, records: Records, draws: Draws) -> Tensor:
        images = (records.fields["image"] * records.weights["patient"][:, :, None, None, None]).sum(dim=1)
        return torch.nn.functional.avg_pool2d(images, 4).flatten(1) / 4

    def advance(self, networks: Mapping[str, nn.Module], means: Tensor, noise: float) -> dict[str, nn.Module]:
        MeanBrightness.told = noise
        with torch.no_grad():
            networks["mean"].weight.copy_(means)
        return dict(networks)


class OneSum(Family):
    """Nothing but a statistic."""

    def __init__(self, task, options) -> None:
        self.task = task

    def networks(self) -> dict[str, nn.Module]:
        return {"mean": nn.Linear(16, 1, bias=False)}

    def contributions(self):
        return (MeanBrightness(),)

    def sample(self, networks, given, n, rng):
        raise NotImplementedError

    def score(self, networks, records, rng):
        raise NotImplementedError


@pytest.fixture
def asked(tiny_study, monkeypatch):
    """`asked(mode)`: a study of one exchange with every patient in it."""
    monkeypatch.setattr("fedgen.recipe.family_class", lambda name: OneSum)
    numbers = iter(range(10_000))

    def build(mode: str, **sections):
        return tiny_study(
            # No other test has the same, since a process keeps its recipes.
            study={"seed": 30_000_000 + MODES.index(mode) * 10_000 + next(numbers)},
            training={"rounds": 1, "local_steps": 1, "batch_patients": 24, **sections.pop("training", {})},
            privacy={"mode": mode, "sampling_rate": 1.0, **sections.pop("privacy", {})},
            aggregation={
                "secure": mode == "distributed",
                "minimum_sites": 3,
                "tolerated_dropouts": 0,
                **sections.pop("aggregation", {}),
            },
            **sections,
        )

    return build


def federation(study, tiny_site, tmp_path):
    recipe, run = Recipe.of(study), RunDirectory(tmp_path / "run")
    run.path.mkdir()
    names = roster({site: run.site(site) for site in SIZES})
    sites = [
        Site(
            recipe,
            tiny_site(site, n),
            run.site(site),
            keyholder(recipe, names, site, run.site(site)),
            roster_size=len(SIZES),
        )
        for site, n in SIZES.items()
    ]
    secure = study.aggregation.secure
    aggregator = SecureAggregator(recipe, names) if secure else PlainAggregator(16)
    return recipe, run, train(recipe, DirectExchange(sites), aggregator, run)


def truth(tiny_site) -> Tensor:
    """(16,) mean over all patients of all sites."""
    total = torch.zeros(16)
    for site, n in SIZES.items():
        # As many images as a patient can have, so that nothing is chosen at random.
        records = TrainingPatients(tiny_site(site, n), 3).records(torch.arange(n), SecretRandom())
        total += MeanBrightness().vectors({}, records, {}).sum(dim=0)
    return total / sum(SIZES.values())


@pytest.mark.parametrize("mode", MODES)
def test_a_family_of_one_sum_is_trained_in_one_exchange(asked, tiny_site, tmp_path, mode) -> None:
    study = asked(mode, data={"images_per_patient": 3}, privacy={"epsilon": 8.0})
    recipe, run, trained = federation(study, tiny_site, tmp_path)
    assert recipe.rounds == trained.checkpoint.round == 1
    error = (trained.checkpoint.model - truth(tiny_site)).numpy()
    if mode == "none":
        assert MeanBrightness.told == 0
        assert np.abs(error).max() < 1e-6
        assert [row.spend for row in Ledger(run.site("north") / "ledger.jsonl")] == [None]
        return
    for site in SIZES:
        (row,) = Ledger(run.site(site) / "ledger.jsonl")
        assert (row.spend.sampling_rate, row.spend.steps) == (1.0, 1)
        assert row.spend.discrete == (mode == "distributed")
        epsilon = epsilon_rdp if row.spend.discrete else epsilon_prv
        assert 0.95 * 8.0 < epsilon([row.spend], study.privacy.delta) <= 8.0
    sigma = row.spend.noise_multiplier
    # Each site's noise over its own patients, averaged by their numbers; or one noise, half as much again as needed,
    # since every site may know its own share.
    std = sigma * (3**0.5 if mode == "local" else 1.5**0.5) / sum(SIZES.values())
    assert 0.5 * std < error.std() < 1.7 * std
    assert MeanBrightness.told == pytest.approx(std, rel=1e-3)


@pytest.mark.parametrize("weighting", ["patients", "uniform"])
def test_the_noise_is_known_through_a_secure_aggregation_too(asked, tiny_site, tmp_path, weighting) -> None:
    secure = {"secure": True, "weighting": weighting, "weight_cap": 50}
    study = asked("local", aggregation=secure)
    _, run, _ = federation(study, tiny_site, tmp_path)
    sigmas = [next(iter(Ledger(run.site(site) / "ledger.jsonl"))).spend.noise_multiplier for site in SIZES]
    weights = [n if weighting == "patients" else 1 for n in SIZES.values()]
    parts = zip(weights, sigmas, SIZES.values(), strict=True)
    variance = sum((w * sigma / n) ** 2 for w, sigma, n in parts) / sum(weights) ** 2
    assert MeanBrightness.told == pytest.approx(variance**0.5, rel=1e-2)


def test_the_sum_is_right_where_noise_is_small(asked, tiny_site, tmp_path) -> None:
    study = asked("distributed", data={"images_per_patient": 3}, privacy={"epsilon": 1e5, "delta": 0.01})
    _, _, trained = federation(study, tiny_site, tmp_path)
    assert float((trained.checkpoint.model - truth(tiny_site)).abs().max()) < 0.02


@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_nobody_is_read_before_the_round_is_charged(asked, tiny_site, tmp_path, monkeypatch, mode) -> None:
    def refuse(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("fedgen.federation.site.charging.Ledger.charge", refuse)
    monkeypatch.setattr(TrainingPatients, "records", lambda *_: pytest.fail("a patient was read"))
    with pytest.raises(Exception, match="DataError"):
        federation(asked(mode), tiny_site, tmp_path)


def test_the_bound_does_not_rest_on_the_statistics_word() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [float("nan"), 0.1], [float("inf"), 0.0]])
    expected = torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0], [0.0, 0.0]])
    assert torch.allclose(bounded(vectors), expected)


def test_one_patient_changes_a_sum_by_one_at_most(asked, tiny_site, monkeypatch) -> None:
    def long(self, networks, records, draws):
        return 1e6 * torch.ones(len(records.weights["patient"]), 16)

    monkeypatch.setattr(MeanBrightness, "vectors", long)
    study = asked("none")
    mechanism = Recipe.of(study).mechanism
    sums = []
    for n in (8, 9):
        cohort = TrainingPatients(tiny_site("north", n), 2)
        local = mechanism.plan(n, "north").local
        sums.append(n * mean_of_site(Query(MeanBrightness()), {}, cohort, local, None, SecretRandom()))
    assert float((sums[1] - sums[0]).norm()) == pytest.approx(1.0, abs=1e-5)


def test_an_empty_sample_is_noised_like_any_other(asked, tiny_site) -> None:
    plan = dataclasses.replace(Recipe.of(asked("none")).mechanism.plan(9, "north").local, sampling_rate=1e-9)
    cohort = TrainingPatients(tiny_site("north", 9), 2)
    query = Query(MeanBrightness(), samples=50)
    noise = mean_of_site(query, {}, cohort, plan, 2.0, SecretRandom()) * 9e-9
    assert noise.shape == (800,)
    assert 0.85 * 2.0 < float(noise.std()) < 1.15 * 2.0


def test_contributions_have_their_rounds(tiny_study) -> None:
    """Queries before the training, then each statistic once, then the objectives; statistics alone take turns."""
    study = tiny_study(training={"rounds": 4})
    (objective,) = Recipe.of(study).family.contributions()
    one, other = MeanBrightness(), MeanBrightness()

    def turns(contributions, before=(), rounds=4):
        return Turns(study.privacy, rounds, 2, contributions, before, private=True, discrete=False)

    def queries(made):
        asked = [made.turn(round).query for round in range(1, made.rounds + 1)]
        return [query and query.statistic for query in asked]

    warm = Query(MeanBrightness(), 3, 0.1, 5.0)
    mixed = turns((one, objective, other), (warm,))
    assert queries(mixed) == [warm.statistic, one, other, None, None]
    assert queries(turns((one, other))) == [one, other]
    assert mixed.longest_query == 48
    base = mixed.calibrated(0.3)
    spends = [mixed.spend(round, base) for round in range(1, 6)]
    assert [spend.steps for spend in spends] == [3, 1, 1, 2, 2]
    assert [spend.sampling_rate for spend in spends] == [0.1, 0.3, 0.3, 0.3, 0.3]
    assert 0.97 * 20 < epsilon_prv(mixed.history(base), study.privacy.delta) <= 20
    with pytest.raises(StudyError, match=r"rounds is 2.*set training\.rounds to 3"):
        turns((one, objective, other), rounds=2)
