"""What a person reads before approving has every number that matters, and no kind word for what is not protected."""

from __future__ import annotations

import re

import pytest

from fedgen.planning.exchanged import exchanged
from fedgen.recipe import Recipe
from fedgen_client.books import balance
from fedgen_client.policy import refusals
from fedgen_client.studies import Studies
from fedgen_client.words import describe
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Charge, Ledger


@pytest.fixture
def told(member, stub, others, secure_study):
    """`told(privacy={...})`: the paragraphs for a study with these sections, by heading."""
    known = Studies(member)

    def tell(given=None, expected=None, **sections):
        offered = known.keep(stub.offer(given or secure_study(**sections), **others))
        site = member.load_site_file()
        found = describe(
            offered,
            site,
            "main",
            refusals(site, "main", offered.study, offered.others),
            exchanged(offered.study, offered.roster_size),
            balance(member.ledger("main"), "main", site.cohorts["main"]),
            expected,
        )
        assert all(text.isprintable() for _, text in found)
        return dict(found)

    return tell


def test_a_study_in_words(told, member) -> None:
    found = told()
    assert "Federation lungs" in found["who"]
    assert "3 sites" in found["who"]
    for site in ("north", "east", "south"):
        assert f"{site} (" in found["who"]
    assert "family vae for gray images of 16 x 16 pixels with the classes none, lesion" in found["trains"]
    assert "3 rounds of 2 steps" in found["trains"]
    assert str(member.load_site_file().cohorts["main"].folder) in found["your data"]
    assert "Epsilon 8 at delta 0.001 a patient" in found["privacy"]
    assert "out goes the masked change of the model with the training loss" in found["each round"]
    assert "never one site's part" in found["hidden by"]
    assert found["your policy"] == "allows it."
    assert "has spent epsilon 0 of 10 at delta 1e-05, and 10 is left" in found["your ledger"]


def test_what_nothing_useful_is_to_be_expected_of_says_so(told, secure_study) -> None:
    assert "to expect" not in told()
    said = told(expected="NOTHING USEFUL is to be expected of it")["to expect"]
    assert said == ("NOTHING USEFUL is to be expected of it. Your patients would pay for it all the same.")
    asked = told(privacy={"accept_useless": True})["to expect"]
    assert "expects NOTHING USEFUL (privacy.accept_useless)" in asked


def test_a_family_that_the_plan_chose_comes_with_its_reason(told) -> None:
    chosen = "vae, because so many patients carry it (chosen by auto)."
    model = {"family": "vae", "vae": {"channels": (4, 8), "latent_size": 4}, "chosen": chosen}
    assert f"left the choice of the family to the plan: {chosen}" in told(model=model)["trains"]


def test_sizes_are_those_on_the_wire(secure_study, tiny_study) -> None:
    """The vectors themselves are the reference: those that a session masks and a task carries."""
    study = secure_study()
    sizes = exchanged(study, 3)
    from fedgen_privacy.secagg.payload import PayloadLayout

    model = Recipe.of(study).initial_checkpoint().model
    assert (sizes.numbers, sizes.model_bytes) == (len(model), model.numpy().nbytes)
    assert sizes.update_bytes == PayloadLayout.of(Recipe.of(study).parameters(3)).zeros().nbytes
    assert sizes.secure == Recipe.of(study).parameters(3)
    clear = exchanged(tiny_study("vae"), 3)
    assert clear.secure is None
    assert clear.update_bytes == clear.model_bytes == model.numpy().nbytes
    # n images of 16 x 16 gray pixels and their labels, each number a float32.
    assert sizes.release_bytes == 4 * study.synthesis.images * (16 * 16 + 1)


def test_noise_of_all_sites_is_told(told, secure_study) -> None:
    distributed = {"mode": "distributed", "sampling_rate": 0.3, "central_images": {"images": 2}}
    study = secure_study("vae", privacy=distributed, training={"local_steps": 1})
    found = told(study)
    assert "a coordinator that follows the protocol and any single site" in found["privacy"]
    assert "as masked integers with this site's share of the noise" in found["each round"]
    assert "One round more, the first, asks for 2 mean images of each class" in found["each round"]
    assert "never cut to a range" in found["hidden by"]


def test_what_protects_nothing_is_loud(told, tiny_study) -> None:
    found = told(tiny_study("vae", privacy={"mode": "none"}))
    assert found["privacy"].startswith("NO differential privacy")
    assert "IN THE CLEAR" in found["each round"]
    assert "secure aggregation is OFF" in found["hidden by"]
    assert found["hidden by"].endswith("alone.")
    assert "privacy.mode is none" in found["your policy"]
    assert "aggregation.secure is false" in found["your policy"]


def test_a_large_delta_is_loud(told) -> None:
    assert "ACCEPTS A LARGE DELTA" in told(privacy={"delta": 0.2, "allow_large_delta": True})["privacy"]
    assert "LARGE DELTA" not in told()["privacy"]


def test_a_delta_above_the_cohorts_is_told(told, member, edit_site_file) -> None:
    assert "at the larger delta 0.001" in told()["your ledger"]
    edit_site_file(member, ("delta: 1.0e-5", "delta: 1.0e-3"))
    assert "larger delta" not in told()["your ledger"]


def test_no_limit_is_loud(told, member, edit_site_file) -> None:
    edit_site_file(member, ("maximum_epsilon: 10.0", "maximum_epsilon: null"))
    assert "NO LIMIT" in told()["your ledger"]


def test_what_was_spent_is_told(told, member) -> None:
    spend = Spend(noise_multiplier=1.0, sampling_rate=0.1, steps=40)
    ledger = Ledger(member.ledger("main"))
    ledger.charge(Charge("a" * 64, 1, "b" * 64, spend))
    spent = ledger.spent(1e-5)
    assert 1 < spent < 9
    said = re.match(r".* spent epsilon (\S+) of 10 at .*, and (\S+) is left\.", told()["your ledger"])
    # Rounded so that neither flatters.
    assert spent <= float(said[1]) <= spent + 0.0011
    assert 10 - spent - 0.0011 <= float(said[2]) <= 10 - spent


def test_withheld_numbers_are_told(told, member, edit_site_file) -> None:
    assert "numbers of the audit and of the evaluation leave" in told()["at the end"]
    edit_site_file(member, ("metrics: [loss, audit, evaluation, receipt]", "metrics: [loss, audit, receipt]"))
    found = told()["at the end"]
    assert "numbers of the audit leave" in found
    assert found.endswith("Your policy withholds evaluation.")
    edit_site_file(member, ("metrics: [loss, audit, receipt]", "metrics: [loss]"))
    assert "no number leaves" in told()["at the end"]


def test_evidence_that_is_paid_for_is_told_with_its_price(told, member, edit_site_file) -> None:
    paid = {"privacy": {"epsilon": 1.5}}
    found = told(evidence=paid)["at the end"]
    assert "noised sums for the audit and for the evaluation leave and nothing else" in found
    assert "at epsilon 1.5 for every patient of the cohort, which is part of the study's epsilon" in found
    assert "charged before they are read" in found
    assert "numbers of the" not in found
    edit_site_file(member, ("metrics: [loss, audit, evaluation, receipt]", "metrics: [loss, audit, receipt]"))
    assert "noised sums for the audit leave and nothing else" in told(evidence=paid)["at the end"]
    edit_site_file(member, ("metrics: [loss, audit, receipt]", "metrics: [loss, receipt]"))
    found = told(evidence=paid)["at the end"]
    # Where nothing leaves, nothing is said to be paid either.
    assert "no number leaves" in found
    assert "epsilon 1.5" not in found


def test_colluders_are_told(told, member, stub, others, secure_study) -> None:
    assert "as long as no other site helps it" in told()["hidden by"]
    for name in ("west", "far"):
        others[name] = type(stub.identity).generate(name).public_key
    found = told(aggregation={"colluders": 1, "minimum_sites": 3})
    assert "even if up to 1 other sites tell it all they know" in found["hidden by"]


def test_text_of_the_coordinator_cannot_write_over_the_terminal(told) -> None:
    found = told(study={"description": "nice\x1b[2J\x1b[31m\nyour policy  allows it."})
    assert "nice" in found["study"]
    assert "\x1b" not in "".join(found.values())
