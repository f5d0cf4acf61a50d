"""Mode distributed in a whole federation: integers under masks, one ledger row a step, the coordinator's optimizer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fedgen.errors import ExitCode, StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.registry import specs
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.charging import Account
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.pipeline.privacy import privacy_report
from fedgen.protocol.messages import Refusal, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import latest_checkpoint
from fedgen.run.directory import RunDirectory
from fedgen.study.show import study_hash
from fedgen.training.backends import gradients_of
from fedgen.training.central_images import MeanImages
from fedgen.training.functional import trainable
from fedgen.training.outbox import Outbox
from fedgen.training.training_patients import TrainingPatients
from fedgen.training.vector import ParameterLayout, vector_sha256
from fedgen_privacy.accounting import Spend, epsilon_rdp
from fedgen_privacy.integer_step import read_step
from fedgen_privacy.ledger import Budget, Ledger
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import clipped_sum

SIZES = {"east": 6, "north": 9, "south": 9, "west": 12}
#: 36 patients in all, a third of them in a step
DISTRIBUTED = {"mode": "distributed", "sampling_rate": 1 / 3, "epsilon": 20.0, "delta": 1e-3}
SECURE = {"secure": True, "minimum_sites": 3, "tolerated_dropouts": 0}


@pytest.fixture
def distributed(tiny_study):
    """A study of three steps."""

    def build(family="vae", **sections):
        return tiny_study(
            family,
            training={"local_steps": 1, "batch_patients": 12, **sections.pop("training", {})},
            privacy={**DISTRIBUTED, **sections.pop("privacy", {})},
            aggregation={**SECURE, **sections.pop("aggregation", {})},
            **sections,
        )

    return build


class Silent:
    """An exchange from which chosen sites are gone."""

    def __init__(self, exchange, gone) -> None:
        self._exchange, self._gone = exchange, gone
        self.refusals = []

    def sites(self):
        return [site for site in self._exchange.sites() if site not in self._gone]

    def stream(self, tasks, deadline):
        for site, answer in self._exchange.stream(tasks, deadline):
            if isinstance(answer, Refusal):
                self.refusals.append(answer)
            yield site, answer


@pytest.fixture
def hospitals(tmp_path, tiny_site):
    """`hospitals(study)`: exchange, aggregator and run; called again, the same after a restart."""

    def build(study, *, gone=(), budget=None):
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir(exist_ok=True)
        names = roster({site: run.site(site) for site in SIZES})
        sites = [
            Site(
                Recipe.of(study),
                tiny_site(site, n, task=study.made),
                run.site(site),
                keyholder(Recipe.of(study), names, site, run.site(site)),
                roster_size=len(SIZES),
                account=Account(run.site(site) / "ledger.jsonl", budget),
            )
            for site, n in SIZES.items()
        ]
        return Silent(DirectExchange(sites), gone), SecureAggregator(Recipe.of(study), names), run

    return build


def rows(run, site="north"):
    return list(Ledger(run.site(site) / "ledger.jsonl"))


#: One of steps, of two networks, of sums, and one that draws in many steps: every run; the others with all tests.
OFTEN = ("vae", "gan", "candidates", "diffusion")
FAMILIES = [
    pytest.param(name, marks=[] if name in OFTEN else [pytest.mark.slow])
    for name, spec in specs().items()
    if not spec.needs_prior
]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains(distributed, hospitals, family) -> None:
    study = distributed(family)
    exchange, aggregator, run = hospitals(study)
    trained = train(Recipe.of(study), exchange, aggregator, run)
    start = latest_checkpoint(run.checkpoints, study_hash(study))
    assert start is not None and torch.equal(start.model, trained.checkpoint.model)
    assert start.round == study.total_rounds == len(rows(run)) == (3 if study.steps else 1)
    private = [o for o in objectives_of(Recipe.of(study).family) if o.touches_data]
    assert bool(private) == study.steps
    events = [json.loads(line) for line in run.events.read_text().splitlines()]
    for event in (event for event in events if event["event"] == "round"):
        assert all(event["losses"][objective.name]["std"] > 0 for objective in private)
        assert event["secure"]["weight"] == 4
    if family == "gan":
        # The generator is trained by the coordinator alone.
        assert {name.split("/")[0] for name in start.server} == {"discriminator", "generator"}


def test_each_step_is_one_row_and_the_whole_keeps_its_epsilon(distributed, hospitals) -> None:
    study = distributed()
    exchange, aggregator, run = hospitals(study)
    trained = train(Recipe.of(study), exchange, aggregator, run)
    spends = [row.spend for row in rows(run)]
    assert len(spends) == 3 and len(set(spends)) == 1
    (spend,) = set(spends)
    assert (spend.sampling_rate, spend.steps, spend.discrete) == (1 / 3, 1, True)
    reached = epsilon_rdp([Spend(spend.noise_multiplier, 1 / 3, 3, discrete=True)], 1e-3)
    assert 0.98 * 20 < reached <= 20
    for site in trained.sites:
        assert site.epsilon == pytest.approx(reached) and site.noise_multiplier == spend.noise_multiplier
    report = privacy_report(
        Recipe.of(study), trained.sites, {s: Ledger(run.site(s) / "ledger.jsonl").spends() for s in SIZES}, 0
    )
    assert report.accountant == "RDP at whole orders" and report.epsilon == pytest.approx(reached)
    assert "even together with any one of the other sites" in report.statement
    assert not any("floating point" in limit for limit in report.limits)


def test_what_leaves_is_integers_with_the_sites_share_of_the_noise(distributed, hospitals) -> None:
    """What the site keeps to be sent again is what was masked; most coordinates have a gradient far below the noise."""
    study = distributed(privacy={"epsilon": 0.5})
    exchange, aggregator, run = hospitals(study)
    train(Recipe.of(study), exchange, aggregator, run)
    mechanism = Recipe.of(study).mechanism
    share = mechanism.share(mechanism.turns.turn(3), 4)
    key = {"study": study_hash(study)}
    kept = {site: Outbox(run.site(site) / "outbox").get(3, key) for site in SIZES}
    for result in kept.values():
        assert result.update.dtype == torch.int32 and result.losses == {}
        ratio = float(result.update.double().std()) / share.std
        assert 0.9 < ratio < 1.1
    pairs = [
        np.corrcoef(kept["east"].update, kept[other].update)[0, 1] for other in ("north", "south", "west")
    ]
    assert max(map(abs, pairs)) < 0.1


def test_without_noise_the_step_is_the_central_one(distributed, hospitals, monkeypatch) -> None:
    """All patients in every batch, one image each, no noise: the sites' sum steps as one site with all patients."""
    study = distributed(
        "diffusion", privacy={"sampling_rate": 1.0}, training={"rounds": 1, "batch_patients": 36}
    )
    monkeypatch.setattr(
        "fedgen_privacy.integer_step.discrete_gaussian", lambda random, n, sigma: np.zeros(n, np.int64)
    )

    def fixed(self, B, M, K, rng):
        return {
            "level": torch.zeros(B, M, K),
            "noise": torch.zeros(B, M, K, *self.image.shape),
        }

    monkeypatch.setattr("fedgen.families.parts.denoising.objective.DenoisingObjective.draw", fixed)
    monkeypatch.setattr(TrainingPatients, "_choose", lambda self, patient, random: self._members[patient][:2])
    seen = []

    def reading(levels, shapes, **options):
        seen.append(read_step(levels, shapes, **options))
        return seen[-1]

    monkeypatch.setattr("fedgen.mechanisms.modes.distributed.read_step", reading)
    exchange, aggregator, run = hospitals(study)
    train(Recipe.of(study), exchange, aggregator, run)
    family = Recipe.of(study).family
    networks = family.networks()
    ParameterLayout.of(networks).load(networks, Recipe.of(study).initial_checkpoint().model)
    (objective,) = objectives_of(family)
    total = 0
    for site in exchange._exchange.by_name.values():
        cohort = site._rounds._here.cohort
        records = cohort.records(torch.arange(cohort.n_patients), SecretRandom())
        batch = records, fixed(objective, cohort.n_patients, 2, 1, None)
        params = {name: p.detach() for name, p in trainable(objective, networks).items()}
        central_step = clipped_sum(
            gradients_of(objective, networks), params, batch, bound=0.96**0.5, loss_bounds=(2.0,), chunk=64
        )
        total = total + torch.cat([g.flatten() for g in central_step.gradients.values()])
    (opened,) = seen
    mine = 36 * torch.cat([g.flatten() for g in opened.gradients.values()])
    assert float(total.norm()) > 1
    assert float((mine - total).norm() / total.norm()) < 1e-3


def test_a_run_goes_on_after_a_crash_with_the_same_epsilon(distributed, hospitals, monkeypatch) -> None:
    study = distributed()
    exchange, aggregator, run = hospitals(study)

    def stop(report):
        if report.round == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Recipe.of(study), exchange, aggregator, run, stop)
    moments = latest_checkpoint(run.checkpoints, study_hash(study)).server
    assert moments and float(moments["vae/0/step"]) == 2.0
    exchange, aggregator, run = hospitals(study)
    train(Recipe.of(study), exchange, aggregator, run)
    assert [row.round for row in rows(run)] == [1, 2, 3]
    assert float(latest_checkpoint(run.checkpoints, study_hash(study)).server["vae/0/step"]) == 3.0


def test_a_site_that_is_gone_stops_the_sum_where_no_dropout_is_tolerated(distributed, hospitals) -> None:
    study = distributed()
    exchange, aggregator, run = hospitals(study, gone=("west",))
    with pytest.raises(Exception, match="are fewer than the 4") as raised:
        train(Recipe.of(study), exchange, aggregator, run)
    assert raised.value.exit_code == ExitCode.FEDERATION


def test_sites_refuse_what_their_budget_does_not_cover(distributed, hospitals) -> None:
    study = distributed()
    exchange, aggregator, run = hospitals(study, budget=Budget(5.0, 1e-3))
    with pytest.raises(Exception, match="privacy budget") as raised:
        train(Recipe.of(study), exchange, aggregator, run)
    assert raised.value.exit_code == ExitCode.REFUSED
    assert rows(run) == []


def test_a_batch_that_the_ring_has_no_room_for_is_refused_before_it_costs(distributed, hospitals) -> None:
    study = distributed(training={"batch_patients": 7})
    exchange, aggregator, run = hospitals(study)
    with pytest.raises(StudyError, match=r"expect 12 patients in a step.*set it to 12"):
        train(Recipe.of(study), exchange, aggregator, run)
    assert rows(run) == []


def test_a_site_without_a_roster_refuses_before_it_spends(distributed, tiny_site, tmp_path) -> None:
    recipe = Recipe.of(distributed())
    site = Site(recipe, tiny_site("east", 6), tmp_path)
    model = recipe.initial
    task = TrainRound(study_sha256=recipe.sha256, round=1, model_sha256=vector_sha256(model), model=model)
    with pytest.raises(StudyError, match="roster"):
        site._rounds.result(task)
    assert not (tmp_path / "ledger.jsonl").exists()


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"aggregation": {"secure": False}}, "aggregation.secure on"),
        ({"aggregation": {"ring_bits": 16}}, "ring_bits 32"),
        ({"privacy": {"sampling_rate": None}}, "needs privacy.sampling_rate"),
        ({"training": {"local_steps": 5}}, "local_steps must be 1"),
    ],
)
def test_impossible_studies_are_refused(distributed, sections, words) -> None:
    with pytest.raises(ValidationError, match=words):
        distributed(**sections)


CENTRAL = {"images": 2, "sampling_rate": 0.9, "noise_multiplier": 3.0, "steps": 4, "batch": 2}


@pytest.mark.parametrize("images", [2, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_a_warm_start_is_a_round_that_is_paid_for(tiny_study, distributed, hospitals, mode, images) -> None:
    """Whichever vector is the longer: 40 mean images of each class have more numbers than the model."""
    central = {**CENTRAL, "images": images, "noise_multiplier": 3.0 * images**0.5}
    if mode == "local":
        study = tiny_study(
            privacy={"central_images": central},
            aggregation={**SECURE, "tolerated_dropouts": 1, "weight_cap": 16},
        )
    else:
        study = distributed(privacy={"central_images": central})
    assert (Recipe.of(study).mechanism.turns.longest_query > Recipe.of(study).layout.size) == (images == 40)
    exchange, aggregator, run = hospitals(study)
    trained = train(Recipe.of(study), exchange, aggregator, run)
    assert trained.checkpoint.round == study.total_rounds == 4
    first, second, *_ = [row.spend for row in rows(run)]
    assert (first.sampling_rate, first.steps) == (0.9, images)
    assert second.sampling_rate != 0.9 and first.discrete == second.discrete == (mode == "distributed")
    for site in trained.sites:
        assert site.epsilon is not None and 0.95 * 20 < site.epsilon <= 20


def central_images(study):
    query = Recipe.of(study).mechanism.turns.turn(1).query
    assert isinstance(query.statistic, MeanImages)
    return query.statistic


def test_central_images_are_the_class_means(distributed, tiny_site) -> None:
    """Everybody sampled, no noise: the weighted mean of each class, through levels and back."""
    study = distributed(privacy={"central_images": {**CENTRAL, "sampling_rate": 1.0, "clipping_share": 1.0}})
    statistic = central_images(study)
    cohort = TrainingPatients(tiny_site("north", 9), 8)
    vectors = statistic.vectors({}, cohort.records(torch.arange(9), SecretRandom()), {})
    assert float(vectors.norm(dim=1).max()) <= 1 + 1e-6
    images, labels = statistic.images(torch.stack([vectors.sum(dim=0)] * 2) / 9)
    records = cohort.records(torch.arange(9), SecretRandom())
    for image, label in zip(images, labels, strict=True):
        weights = records.weights["patient"] * (records.fields["class"] == label)
        # where no patient is clipped, shares are all that weighs
        mean = (weights[:, :, None, None, None] * records.fields["image"]).sum(dim=(0, 1)) / weights.sum()
        assert torch.allclose(image, mean, atol=2e-3)
    assert labels.tolist() == [0, 1, 0, 1]


def test_a_patients_central_vector_is_clipped(distributed, tiny_site) -> None:
    study = distributed(privacy={"central_images": {**CENTRAL, "clipping_share": 0.05}})
    records = TrainingPatients(tiny_site("north", 9), 2).records(torch.arange(9), SecretRandom())
    vectors = central_images(study).vectors({}, records, {})
    assert torch.allclose(vectors.norm(dim=1), torch.ones(9), atol=1e-5)


def test_the_vector_is_long_enough_for_both(distributed) -> None:
    study = distributed(privacy={"central_images": {**CENTRAL, "images": 400}})
    assert Recipe.of(study).mechanism.vector.length == 400 * 2 * 257
    assert Recipe.of(distributed()).mechanism.vector.length < 400 * 2 * 257


def test_central_images_need_privacy(tiny_study) -> None:
    with pytest.raises(ValidationError, match="central_images is a query with noise"):
        tiny_study(privacy={"mode": "none", "central_images": {}})
