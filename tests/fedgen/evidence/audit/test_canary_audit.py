"""Guesses about coins: counted by a rule that was fixed, judged by the claim, summed over sites."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from fedgen.data.site_data import SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.canary_audit import (
    BOUND,
    MOST,
    RIGHT,
    CanaryAudit,
    Counts,
    guessed,
    scores_of,
)
from fedgen.evidence.files import joined_audit
from fedgen.evidence.leave import leave
from fedgen.evidence.measure import AuditedModel
from fedgen.families.contract import statistics_of
from fedgen.families.registry import family_class, specs
from fedgen.mechanisms.schedule import Query
from fedgen.mechanisms.statistics import advanced, mean_of_site
from fedgen.run.evidence_files import AuditNumbers, Claim
from fedgen.run.row import CANARIES, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import image_of_class
from fedgen.training.canary_images import made_canaries
from fedgen.training.local import LocalPlan
from fedgen.training.task_records import one_record_each
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.accounting import calibrate_noise
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.statistics.one_run import detectable, epsilon_lower_bound

DELTA = 1e-5


def options(canaries: int, **more: float) -> AuditSection:
    return AuditSection(canaries=canaries, **more)


def key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@pytest.fixture
def canaries(tiny_site):
    """`canaries(40, site="north")`: of a site."""

    def make(m: int, site: str = "north"):
        return made_canaries(tiny_site(site, 4), m, 0, key(site))

    return make


def telling(*known, right: bool = True):
    """A score that knows every coin of these canaries, or knows it the wrong way round."""
    seen = {
        image.numpy().tobytes(): float(coin) if right else -float(coin)
        for each in known
        for image, coin in zip(each.records.images, each.included, strict=True)
    }
    return lambda data: torch.tensor([seen[image.numpy().tobytes()] for image in data.images])


def row_of(section: AuditSection, claimed: float | None, score, *canaries, delta: float = DELTA):
    model = AuditedModel({} if score is None else {"loss": score}, claimed, delta, canaries=canaries)
    (row,) = CanaryAudit(section).measure(None, None, model, 0)
    return row


def test_the_rule_is_the_studys_and_counts_both_sides(canaries) -> None:
    made, section = canaries(40), options(40, canary_guesses=0.1)
    assert section.canary_sides == 4
    assert guessed(telling(made), made, 4, 0) == Counts(40, 8, 8)
    assert guessed(telling(made, right=False), made, 4, 0) == Counts(40, 8, 0)
    # By chance: of a constant score the first and the last canaries are taken, whatever their coins.
    flat = guessed(lambda data: torch.zeros(data.n_images), made, 4, 0)
    assert flat.right == int((~made.included[:4]).sum()) + int(made.included[36:].sum())


def test_a_model_is_asked_in_pieces_and_in_an_order_that_no_coin_knows(canaries) -> None:
    made = canaries(300)
    asked = []

    def score(data):
        asked.append(data.n_images)
        return data.images.float().flatten(1) @ torch.arange(256.0)

    found = scores_of(score, made.records, 1)
    assert len(asked) == 2 and sum(asked) == 300
    assert torch.equal(found, (made.records.images.float().flatten(1) @ torch.arange(256.0)).double())
    with pytest.raises(DataError, match="not one finite number"):
        scores_of(lambda data: torch.full((data.n_images,), torch.nan), made.records, 1)


def test_what_is_proven_is_judged_by_the_claim(canaries) -> None:
    made = canaries(200)
    section = options(200)
    told = row_of(section, 1.0, telling(made), made)
    assert told.verdict is Verdict.FAIL and "does not do what its accounting says" in told.reason
    assert told.get(BOUND).value == epsilon_lower_bound(200, 100, 100, DELTA) > 1.0
    mistaken = telling(replace(made, included=made.included ^ (torch.arange(200) % 5 == 0)))
    within = row_of(section, 3.0, mistaken, made)
    assert within.verdict is Verdict.PASS and "at least" in within.reason
    nothing = row_of(section, 3.0, telling(made, right=False), made)
    assert nothing.verdict is Verdict.PASS and "no evidence of privacy" in nothing.reason
    few = row_of(section, 8.0, telling(made, right=False), made)
    assert few.verdict is Verdict.INSUFFICIENT and "ask for more canaries" in few.reason
    assert few.get(MOST).value == detectable(200, 100, DELTA)
    for score in (telling(made), telling(made, right=False)):
        assert row_of(section, None, score, made).verdict is Verdict.REVIEW


def test_without_canaries_or_model_nothing_passes(canaries) -> None:
    assert row_of(options(40), 1.0, telling(canaries(40))).verdict is Verdict.INSUFFICIENT
    assert row_of(options(40), 1.0, None, canaries(40)).verdict is Verdict.INSUFFICIENT
    assert not CanaryAudit(AuditSection()).wanted and CanaryAudit(options(40)).wanted


def numbers(row, claimed: float | None = 1.0) -> AuditNumbers:
    claim = Claim(epsilon=claimed, delta=DELTA)
    return AuditNumbers(alpha=0.05, n={}, claim=claim, rows=leave([row], 10), limits=(), seed=1)


def test_few_canaries_of_many_sites_are_one_audit(canaries, tiny_study) -> None:
    """No site alone could prove what is wrong; their counts together do, and none is withheld."""
    study = tiny_study(audit={"canaries": 6, "canary_guesses": 0.5}, privacy={"delta": DELTA})
    sites = [f"site{i}" for i in range(20)]
    made = {site: canaries(6, site) for site in sites}
    rows = {site: row_of(study.audit, 1.5, telling(each), each) for site, each in made.items()}
    assert all(row.verdict is Verdict.INSUFFICIENT for row in rows.values())
    joined = joined_audit(study, {site: numbers(row, 1.5) for site, row in rows.items()}, {})
    (row,) = joined.rows
    assert joined.verdict is Verdict.FAIL and row.verdict is Verdict.FAIL
    assert row.get(CANARIES).value == 120 and row.n == {CANARIES: 120}
    right = sum(each.get(RIGHT).value for each in rows.values())
    assert row.get(BOUND).value == epsilon_lower_bound(120, 120, right, DELTA) > 1.5
    said = f"Empirical epsilon by canaries, all sites together: {right} of 120 guesses"
    assert joined.reasons[0].startswith(said)
    wrong = {
        site: numbers(row_of(study.audit, 1.5, telling(each, right=False), each), 1.5)
        for site, each in made.items()
    }
    calm = joined_audit(study, wrong, {})
    assert calm.verdict is Verdict.PASS and calm.rows[0].get(BOUND).value == 0.0


@pytest.mark.parametrize(
    "spoil", [{CANARIES: 7}, {"guesses": 4}, {"right guesses": 7}, {"right guesses": 2.5}]
)
def test_counts_that_are_not_the_studys_do_not_pass(canaries, tiny_study, spoil) -> None:
    study = tiny_study(audit={"canaries": 6, "canary_guesses": 0.5}, privacy={"delta": DELTA})
    made = canaries(6)
    row = row_of(study.audit, 0.1, telling(made, right=False), made)
    values = tuple(
        Value(**{**dict(value), "value": spoil.get(value.name, value.value)}) for value in row.values
    )
    joined = joined_audit(study, {"north": numbers(row.model_copy(update={"values": values}), 0.1)}, {})
    assert joined.verdict is Verdict.INSUFFICIENT


@pytest.fixture(scope="module")
def after_a_sum():
    """`after_a_sum(sigma)`: guesses about a site's canaries by the model of one sum of the family `latent`."""
    task = image_of_class(ImageSpec(channels=1, size=(16, 16)), ("a",))
    options = specs()["latent"].options(latent_size=256)
    coarse = torch.randn(100, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    smooth = (0.3 * interpolate(coarse, size=(16, 16), mode="bicubic")).clamp(-1, 1).half()
    nobody, everyone = torch.zeros(100, dtype=torch.int64), torch.arange(100)
    site = SiteData("north", ("a",), smooth, nobody, everyone, nobody)

    def guesses(sigma: float | None, runs: int = 2, m: int = 128) -> Counts:
        found = []
        for run in range(runs):
            made = made_canaries(site, m, 0, key(f"coins {run}"))
            family = family_class("latent")(task, options)
            networks, (statistic,) = family.networks(), statistics_of(family)
            query, cohort = Query(statistic), TrainingPatients(site, 1, task, made)
            plan = LocalPlan(
                steps=1,
                batch=1,
                sampling_rate=1.0,
                images=1,
                multiplicity=1,
                chunk=8,
                device="cpu",
                mechanism=None,
            )
            mean = mean_of_site(query, networks, cohort, plan, sigma, SecretRandom(key(f"noise {run}")))
            networks = advanced(query, networks, mean, (sigma or 0.0) / 100)

            def score(data, family=family, networks=networks):
                return family.score(networks, one_record_each(task, data), torch.Generator())

            found.append(guessed(score, made, m // 4, 0))
        # Coins of different runs are independent, as those of different sites are.
        return Counts(*np.sum(found, axis=0).tolist())

    return guesses


def test_a_sum_whose_noise_was_forgotten_is_caught_and_a_right_one_is_not(after_a_sum) -> None:
    """Through the site's own code: what reads canaries, sums, makes the model and scores it is what a study runs."""
    claimed, delta = 1.0, 1e-3
    sigma = calibrate_noise(epsilon=claimed, delta=delta, sampling_rate=1.0, steps=1)
    assert epsilon_lower_bound(*after_a_sum(sigma), delta) <= claimed
    assert epsilon_lower_bound(*after_a_sum(None), delta) > 1.5 * claimed
