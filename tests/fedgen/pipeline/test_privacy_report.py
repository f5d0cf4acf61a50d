"""What is said about privacy is what the ledgers hold, and never better."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.mechanisms.modes.local import EVERYBODY
from fedgen.mechanisms.statement import rounded_up
from fedgen.pipeline.privacy import privacy_report
from fedgen.protocol.messages import SiteDescription
from fedgen.recipe import Recipe
from fedgen_privacy.accounting import Spend, epsilon_prv, epsilon_rdp

DELTA = 1e-3
SPEND = Spend(1.2, 0.25, 3)


def described(site: str, patients: int = 12, sigma: float = 1.2) -> SiteDescription:
    return SiteDescription(
        site=site,
        patients=patients,
        sampling_rate=0.25,
        noise_multiplier=sigma,
        steps_per_round=3,
        epsilon=5.0,
        epsilon_rdp=5.5,
    )


def plain(site: str) -> SiteDescription:
    return SiteDescription(
        site=site,
        patients=12,
        sampling_rate=0.25,
        noise_multiplier=0.0,
        steps_per_round=0,
        epsilon=None,
        epsilon_rdp=None,
    )


def test_numbers_are_the_ledgers(tiny_study) -> None:
    ledgers = {"north": [SPEND] * 4, "south": [SPEND] * 2}
    report = privacy_report(Recipe.of(tiny_study()), [described("north"), described("south")], ledgers, 0)
    north, south = report.sites
    assert (north.steps, south.steps) == (12, 6)
    for row, spends in ((north, ledgers["north"]), (south, ledgers["south"])):
        assert row.epsilon == epsilon_prv(spends, DELTA)
        assert row.epsilon_rdp == epsilon_rdp(spends, DELTA)
    assert south.epsilon < north.epsilon
    assert report.epsilon == north.epsilon
    assert (report.delta, report.accountant, report.mode) == (DELTA, "PRV", "local")
    assert report.holds_against == EVERYBODY
    assert len(report.limits) == 3


def test_a_ledger_is_believed_over_the_plan(tiny_study) -> None:
    """A site that spent more than it announced shows what it spent."""
    report = privacy_report(
        Recipe.of(tiny_study()), [described("north", sigma=9.0)], {"north": [Spend(0.8, 0.5, 30)]}, 0
    )
    assert report.epsilon == epsilon_prv([Spend(0.8, 0.5, 30)], DELTA)
    assert report.epsilon > 5.0


def test_a_site_that_was_never_asked_spent_nothing(tiny_study) -> None:
    report = privacy_report(
        Recipe.of(tiny_study()), [described("north"), described("late")], {"north": [SPEND]}, 0
    )
    assert report.sites[1].epsilon == 0
    assert report.sites[1].steps == 0


def test_the_statement_of_a_private_run(tiny_study) -> None:
    report = privacy_report(Recipe.of(tiny_study()), [described("north")], {"north": [SPEND]}, 0)
    statement = report.statement
    assert statement.endswith(f"this holds against {EVERYBODY}.")
    assert "for each patient at each site, all images of the patient together" in statement
    assert "more than one site" not in statement
    epsilon, delta = re.match(
        r"Training was \(([\d.]+), ([\de.-]+)\)-differentially private", statement
    ).groups()
    assert epsilon_prv([SPEND], DELTA) <= float(epsilon) < epsilon_prv([SPEND], DELTA) + 0.01
    assert float(delta) == DELTA


@pytest.mark.parametrize(("shared", "words"), [(1, "1 patient is at"), (7, "7 patients are at")])
def test_shared_patients_are_told_that_epsilons_add_up(tiny_study, shared, words) -> None:
    report = privacy_report(Recipe.of(tiny_study()), [described("north")], {"north": [SPEND]}, shared)
    assert (
        f"({words} more than one site, and for them the epsilons and deltas of their sites add up)"
        in report.statement
    )
    assert report.shared_patients == shared


def test_without_privacy_nothing_is_claimed(tiny_study) -> None:
    report = privacy_report(Recipe.of(tiny_study(privacy={"mode": "none"})), [plain("north")], {}, 3)
    assert "WITHOUT differential privacy" in report.statement
    assert report.holds_against == "nobody"
    for key in ("epsilon", "delta", "accountant", "clipping_norm"):
        assert getattr(report, key) is None, key
    assert report.limits == ()
    (row,) = report.sites
    assert (row.epsilon, row.noise_multiplier, row.steps) == (None, None, None)


@given(st.floats(0, 1e4))
def test_a_printed_epsilon_is_never_below_the_true_one(epsilon) -> None:
    assert epsilon <= float(f"{rounded_up(epsilon):.2f}") + 1e-9
    assert rounded_up(epsilon) <= epsilon + 0.01 + 1e-9


def test_the_summary_is_the_report_by_site(tiny_study) -> None:
    report = privacy_report(
        Recipe.of(tiny_study()), [described("north"), described("south")], {"north": [SPEND], "south": []}, 0
    )
    short = report.entry()
    assert (short.epsilon.max, short.epsilon.sites) == (
        report.epsilon,
        {"north": report.epsilon, "south": 0.0},
    )
    assert short.steps == {"north": 3, "south": 0}
    assert short.statement == report.statement


def test_the_cost_of_the_mode_is_told_where_there_is_another(tiny_study) -> None:
    secure = {"aggregation": {"secure": True, "minimum_sites": 3}}
    sites = [described(name) for name in ("east", "north", "south")]
    ledgers = {site.site: [SPEND] for site in sites}
    told = privacy_report(Recipe.of(tiny_study(**secure)), sites, ledgers, 0).mode_cost
    assert told.startswith("In mode local the noise protects against everybody")
    assert told.endswith("times as large at the same epsilon, with these 3 sites.")
    # one site alone has nobody to share its noise with
    alone = privacy_report(Recipe.of(tiny_study()), [described("north")], {"north": [SPEND]}, 0)
    assert alone.mode_cost is None
    without = tiny_study(privacy={"mode": "none"}, **secure)
    assert privacy_report(Recipe.of(without), [plain(n) for n in ("a", "b", "c")], {}, 0).mode_cost is None
