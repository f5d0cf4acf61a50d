"""A run with canaries, in every mode and of both kinds of families: patients are promised and counted as without."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.evidence.audit.canary_audit import BOUND, GUESSES, RIGHT
from fedgen.evidence.files import joined_audit
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.pipeline.assessment import Assessor
from fedgen.pipeline.pretrained_start import given_start, keep_start
from fedgen.pipeline.runner import run_stages
from fedgen.protocol.messages import Assess, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import CANARIES, Row, Verdict
from fedgen.training.canary_coins import NAME, kept_canaries
from fedgen.training.vector import vector_sha256

AUDIT = {"bootstrap": 100, "minimum_patients": 4, "canaries": 8, "canary_share": 1.0}
KINDS: list[Any] = [
    ("vae", "none"),
    ("vae", "local"),
    ("latent", "none"),
    ("latent", "local"),
    ("candidates", "local"),
]
# Gradients in mode distributed are slow to sum in secret; they read patients by the same function as those of local.
KINDS += [("latent", "distributed"), pytest.param("vae", "distributed", marks=pytest.mark.slow)]
NAMES = ("east", "north", "south")


def sections(mode: str) -> dict[str, dict[str, Any]]:
    """Of a study in this mode, with what mode distributed asks for beside its name."""
    if mode != "distributed":
        return {"privacy": {"mode": mode}}
    return {
        "privacy": {"mode": mode, "sampling_rate": 0.5},
        "aggregation": {"secure": True, "minimum_sites": 3},
    }


@pytest.fixture
def released(tiny_study, tiny_site, tmp_path):
    """`released(family, mode)`: study and answers of three sites that trained, asked for the audit of a release."""

    def run(family: str, mode: str):
        shared = {"batch_patients": 30, "local_steps": 1} if mode == "distributed" else {}
        training = {"rounds": 2, **shared}
        study = tiny_study(family, audit=AUDIT, training=training, **sections(mode))
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir()
        keep_start(run, given_start(study, None))
        recipe = Recipe.of(study).on_frozen(run.pretrained)
        data = {name: tiny_site(name, 9, held_out=4) for name in NAMES}
        secure = study.aggregation.secure
        names = roster({name: tmp_path / name for name in NAMES}) if secure else {}
        sites = []
        for name in NAMES:
            holder = keyholder(recipe, names, name, tmp_path / name) if secure else None
            sites.append(Site(recipe, data[name], tmp_path / name, holder, roster_size=3))
        plain = PlainAggregator(recipe.mechanism.vector.length)
        joins = SecureAggregator(recipe, names) if secure else plain
        trained = train(recipe, DirectExchange(sites), joins, run)
        model = trained.checkpoint.ema
        rng = torch.Generator().manual_seed(1)
        question = Assess(
            study_sha256=recipe.sha256,
            model_sha256=vector_sha256(model),
            model=model,
            images=(torch.rand(8, 1, 16, 16, generator=rng) * 2 - 1).half().float(),
            labels=torch.arange(8) // 4,
        )
        found = {}
        for name in NAMES:
            assessor = Assessor(recipe, data[name], tmp_path / name, frozenset({"audit"}))
            found[name] = assessor(question).audit
        return study, found

    return run


def judged(found, sites: int) -> Row:
    """The row of the canaries, with the counts of so many sites of eight."""
    (row,) = [each for each in found.rows if each.id == "canaries"]
    assert row.get(CANARIES).value == 8 * sites and row.get(GUESSES).value == 4 * sites
    assert 0 <= row.get(RIGHT).value <= 4 * sites and row.get(BOUND).value >= 0
    return row


@pytest.mark.parametrize(("family", "mode"), KINDS)
def test_sites_say_what_their_canaries_prove_and_it_is_joined(released, family, mode) -> None:
    study, answers = released(family, mode)
    rows = [judged(each, 1) for each in answers.values()]
    found = joined_audit(study, answers, {})
    row = judged(found, 3)
    assert row.get(RIGHT).value == sum(each.get(RIGHT).value for each in rows)
    # Too few for this epsilon, and nothing to compare with in mode none.
    assert row.verdict is (Verdict.REVIEW if mode == "none" else Verdict.INSUFFICIENT)
    assert any("8 canaries" in limit for limit in found.limits)
    # They count for nobody: every number of patients is that of the sites' own.
    assert found.n["train_patients"] == 27


@pytest.mark.slow  # A whole run; the same site code and joining are run above, without the stages around them.
def test_a_whole_run_with_canaries(simulation) -> None:
    here = simulation(audit=AUDIT)
    run_stages(here)
    found = AuditFile.read(here.work.run)
    row = judged(found, 2)
    (together,) = [each for each in found.pooled if each.id == "canaries"]
    assert together.get(RIGHT).value == row.get(RIGHT).value
    assert [site.patients for site in PrivacyFile.read(here.work.run).sites] == [9, 9]


@pytest.mark.parametrize("mode", ["none", "local", "distributed"])
def test_a_patient_is_promised_and_weighed_as_without_canaries(tiny_study, tiny_site, tmp_path, mode) -> None:
    plans = []
    for audit in ({}, AUDIT):
        study = tiny_study("latent", audit={"bootstrap": 100, **audit}, **sections(mode))
        site = Site(Recipe.of(study), tiny_site("north", 9), tmp_path / str(len(plans)), roster_size=3)
        plans.append(site.plan)
    assert plans[0] == plans[1]


def test_more_canaries_than_the_share_are_refused_before_anything_is_spent(simulation) -> None:
    here = simulation(audit={**AUDIT, "canary_share": 0.5})
    with pytest.raises(DataError, match=r"set audit\.canaries to 4 or less"):
        run_stages(here)
    assert not list(here.work.run.path.rglob("ledger.jsonl")) and not list(here.work.run.path.rglob(NAME))


@pytest.fixture
def three(tiny_study, tiny_site, tmp_path):
    """Sites of a study with canaries, made anew of what is in their folders at each call."""
    study = tiny_study(audit=AUDIT, training={"rounds": 2})

    def build():
        recipe = Recipe.of(study)
        return recipe, [Site(recipe, tiny_site(name, 9, 4), tmp_path / name) for name in NAMES]

    return build


def test_a_site_that_was_killed_goes_on_with_its_coins_and_flips_none_again(
    three, tiny_site, tmp_path
) -> None:
    recipe, sites = three()
    study, run = recipe.study, RunDirectory(tmp_path / "run")
    run.path.mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob(NAME)}
    assert len(before) == 3
    train(recipe, DirectExchange(sites), PlainAggregator(), run)
    three()
    assert {path: path.read_bytes() for path in tmp_path.rglob(NAME)} == before
    (tmp_path / "north" / NAME).unlink()
    with pytest.raises(PrivacyRefusedError, match="flipped once"):
        three()
    # What it would answer of the finished model has no coins to count either.
    weights = recipe.initial_checkpoint().model
    question = Assess(
        study_sha256=recipe.sha256,
        model_sha256=vector_sha256(weights),
        model=weights,
        images=torch.zeros(study.synthesis.images, 1, 16, 16),
        labels=torch.arange(8) // 4,
    )
    assessor = Assessor(recipe, tiny_site("north", 9, 4), tmp_path / "north", frozenset({"audit"}))
    with pytest.raises(PrivacyRefusedError, match="flipped once"):
        assessor(question)


def test_a_round_that_was_charged_and_not_kept_has_its_coins_too(three, tmp_path) -> None:
    """Killed between the charge and the result: whether it was sent nobody knows, so the coins must be the same."""
    recipe, sites = three()
    model = recipe.initial_checkpoint().model
    task = TrainRound(study_sha256=recipe.sha256, round=1, model_sha256=vector_sha256(model), model=model)
    sites[0].answer(task)
    for path in (tmp_path / "east" / "outbox").glob("*"):
        path.unlink()
    (tmp_path / "east" / NAME).unlink()
    with pytest.raises(PrivacyRefusedError, match="flipped once"):
        three()


def test_canaries_are_trained_on_as_patients_are(three, tiny_site, tmp_path) -> None:
    recipe, sites = three()
    kept = kept_canaries(
        recipe.study, recipe.sha256, tiny_site("north", 9, 4), tmp_path / "north", begun=True
    )
    assert kept is not None
    assert sites[1]._rounds._here.cohort.n_records == 9 + int(kept.included.sum())
