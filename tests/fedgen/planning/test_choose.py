"""`model.family: auto`: settled by public numbers before anybody sees the study, or refused in one sentence."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
import yaml

from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen.planning.alternatives import Alternative, Leg
from fedgen.planning.choose import chooser, settled
from fedgen.planning.compared import Comparison, sentences
from fedgen.planning.recommend import Recommendation
from fedgen.protocol.manifest import manifest_of, open_manifest, sign_manifest
from fedgen.schema.canonical import canonical
from fedgen.study.load import load_study, parse_study
from fedgen.study.show import dump_study, study_hash
from fedgen_privacy.secagg import Identity

TEXT = """
study: {name: small, seed: 1}
data: {image_size: [16, 16]}
model: {family: auto, latent: {latent_size: 5}, vae: {channels: [4, 8], latent_size: 4}}
training: {rounds: 3, local_steps: 2, batch_patients: 5}
privacy: {epsilon: 3, delta: 1e-3}
"""


def test_the_choice_and_its_reason_are_in_the_study_that_is_signed() -> None:
    study = parse_study(TEXT, "small.yaml", choose=chooser((30, 30, 40)))
    assert study.model.family == "latent"
    # with the options that the file has for the chosen family
    assert study.model.latent.latent_size == 5
    assert study.model.chosen.startswith(
        "latent, because with 100 training patients of 3 sites DP-SGD's signal"
    )
    assert "chosen by auto" in study.model.chosen
    # what is stored is read back as it is, without being chosen anew, and is hashed with its reason
    text = dump_study(study)
    assert "auto" not in yaml.safe_load(text)["model"]["family"]
    assert parse_study(text, "stored") == study
    without = study.model.model_copy(update={"chosen": None})
    assert study_hash(study) != study_hash(study.model_copy(update={"model": without}))
    assert parse_study(TEXT, "small.yaml", choose=chooser((30, 30, 40))) == study


def test_a_study_that_leaves_it_open_reaches_nobody() -> None:
    with pytest.raises(
        StudyError, match=r"small\.yaml, line 4: model\.family is auto, which the plan settles before"
    ):
        parse_study(TEXT, "small.yaml")
    # a coordinator of another make that signs one: a site knows no such family
    study = parse_study(TEXT, "small.yaml", ["model.family=vae"])
    identity = Identity.generate("coordinator")
    keys = {name: Identity.generate(name).public_key for name in ("north", "south", "west")}
    fair = manifest_of("fed", study, keys, datetime.now(UTC))
    values = {**fair.study, "model": {**fair.study["model"], "family": "auto"}}
    sha256 = hashlib.sha256(canonical(values).encode()).hexdigest()
    open_one = fair.model_copy(update={"study": values, "study_sha256": sha256})
    assert open_manifest(sign_manifest(fair, identity), identity.public_key) == fair
    with pytest.raises(PrivacyRefusedError, match=r"not of a form that fedgen .* knows \(model\.family"):
        open_manifest(sign_manifest(open_one, identity), identity.public_key)


def test_numbers_are_public_ones_or_it_is_said_what_to_give() -> None:
    with pytest.raises(StudyError, match="--patients 45 --patients 12"):
        parse_study(TEXT, "small.yaml", choose=chooser())
    with pytest.raises(StudyError, match="--patients 45 --patients 12"):
        load_study("demo_gradients", ["model.family=auto"], chooser(phantom=False))
    shared = ["privacy.mode=distributed", "privacy.sampling_rate=0.05", "aggregation.secure=true"]
    study = parse_study(TEXT, "small.yaml", shared, chooser())
    assert "with 100 training patients of 3 sites" in study.model.chosen
    assert load_study("demo_gradients", ["model.family=auto"], chooser()).model.family == "latent"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("privacy.mode=none", "privacy.mode none has no noise"),
        ("model.adapters={rank: 2}", "model.adapters is of one family"),
        ("model.chosen=latent, because I say so", "model.chosen is of one family"),
        ("training.rounds=0", "training.rounds"),
        ("privacy.delta=2", "privacy.delta"),
    ],
)
def test_what_auto_cannot_be(override, words) -> None:
    with pytest.raises(StudyError, match=words):
        parse_study(TEXT, "small.yaml", [override], chooser((30, 30, 40)))


@pytest.mark.slow
def test_a_reason_for_another_family_is_no_reason() -> None:
    text = dump_study(parse_study(TEXT, "small.yaml", choose=chooser((30, 30, 40))))
    with pytest.raises(StudyError, match='chosen must begin with "vae, because "'):
        parse_study(text, "stored", ["model.family=vae"])


def leg(family: str) -> Leg:
    return Leg(family, "random", 1.0, (1.0, 1.0), 100, 5.0, 1, 0)


def test_one_study_is_the_first_of_two_stages_and_the_sum_where_nothing_is_worth_it() -> None:
    total = Alternative("sum", ("sums",), (leg("sums"),))
    twice = Alternative("sum then steps", ("sums", "net"), (leg("sums"), leg("net")))
    family, reason = settled(Recommendation(twice, "it is between"), [total, twice], (9, 9))
    assert family == "sums"
    assert reason == (
        "sums, because with 18 training patients of 2 sites it is between; this one study is the sum alone, at its "
        "whole epsilon (chosen by auto)."
    )
    assert settled(Recommendation(None, "nothing\nhelps"), [total], (9,))[1].count("\n") == 0
    broken = Alternative("steps", ("net",), why_not="it cannot")
    with pytest.raises(StudyError, match=r"no private family suits the study \(net: it cannot\)"):
        settled(Recommendation(None, "nothing helps"), [broken], (9,))


def test_sums_that_the_plan_cannot_tell_apart_are_named_beside_the_one_it_takes(tiny_study) -> None:
    study = tiny_study("latent", privacy={"epsilon": 3.0})
    total = Alternative("sum", ("latent",), (leg("latent"),))
    told = sentences(Comparison((total,), Recommendation(total, "it is so")), study)
    assert told[0] == "Recommended: this study as it is, because it is so."
    assert [line for line in told if line.startswith("candidates would be one more: it needs a public prior")]
    other = Alternative("sum", ("candidates",), (leg("candidates"),))
    told = sentences(Comparison((total, other), Recommendation(total, "it is so")), study)
    assert [line for line in told if line.startswith("candidates could be summed too")]
    told = sentences(Comparison((total,), Recommendation(None, "nothing helps")), study)
    assert told[0] == "Recommended: nothing, because nothing helps."
