"""Each rule of a policy refuses by itself, and a stricter policy never allows what a looser one refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.families.registry import specs
from fedgen.study.study import Study
from fedgen_client.policy import budget_problems, cohort_problems, problems, refusals, withheld
from fedgen_client.site_file import CohortSection, PolicySection, SiteFile


def study(family: str = "vae", **sections: dict[str, Any]) -> Study:
    model: dict[str, Any] = {"family": family}
    if specs()[family].needs_prior:
        model["prior"] = {"phantom": {}}
    values: dict[str, Any] = {"study": {"name": "s"}, "model": model}
    values["privacy"] = {"epsilon": 8.0, **sections.pop("privacy", {})}
    values["aggregation"] = {"secure": True, "minimum_sites": 3, **sections.pop("aggregation", {})}
    return Study.model_validate({**values, **sections})


def test_an_allowed_study_has_no_problem() -> None:
    assert problems(PolicySection(), study(), 3) == []


@pytest.mark.parametrize(
    ("policy", "asked", "roster", "sentence"),
    [
        (
            {"minimum_sites": 4},
            {"aggregation": {"minimum_sites": 4}},
            3,
            "The roster has 3 sites, but policy.minimum_sites asks for 4.",
        ),
        (
            {"minimum_sites": 4},
            {},
            4,
            "aggregation.minimum_sites lets a round go on with 3, but policy.minimum_sites asks for 4.",
        ),
        ({"families": ("gan",)}, {}, 3, "model.family is vae, but policy.families allows gan."),
        (
            {"modes": ("distributed",)},
            {},
            3,
            "privacy.mode is local, but policy.modes allows distributed.",
        ),
        (
            {},
            {"privacy": {"mode": "none"}},
            3,
            "privacy.mode is none, but policy.modes allows local, distributed.",
        ),
        (
            {},
            {"aggregation": {"secure": False}},
            3,
            "aggregation.secure is false, so the coordinator would see this site's update, but "
            "policy.require_secure_aggregation is true.",
        ),
        (
            {"largest_study_epsilon": 7.5},
            {},
            3,
            "privacy.epsilon is 8, but policy.largest_study_epsilon allows 7.5.",
        ),
        (
            {"metrics": ("audit", "evaluation")},
            {},
            3,
            "training sends the loss of its 20 rounds with the updates, but policy.metrics allows audit, evaluation.",
        ),
        (
            {"metrics": ()},
            {},
            3,
            "training sends the loss of its 20 rounds with the updates, but policy.metrics allows nothing.",
        ),
    ],
)
def test_each_rule_alone_refuses(policy, asked, roster, sentence) -> None:
    assert problems(PolicySection(**policy), study(**asked), roster) == [sentence]


def test_the_very_limit_is_allowed() -> None:
    policy = PolicySection(minimum_sites=5, largest_study_epsilon=8.0)
    assert problems(policy, study(aggregation={"minimum_sites": 5}), 5) == []


def test_every_problem_is_told_at_once() -> None:
    policy = PolicySection(
        minimum_sites=9, families=("gan",), modes=("none",), largest_study_epsilon=1.0, metrics=()
    )
    assert len(problems(policy, study(), 3)) == 6


def test_epsilon_means_nothing_where_there_is_no_privacy() -> None:
    policy = PolicySection(modes=("none",), largest_study_epsilon=0.1)
    assert problems(policy, study(privacy={"mode": "none", "epsilon": 50.0}), 3) == []


@pytest.mark.parametrize(("patients", "refused"), [(19, True), (20, False), (0, True), (1, True)])
def test_the_smallest_cohort(patients, refused) -> None:
    found = cohort_problems(PolicySection(minimum_cohort=20), patients)
    assert bool(found) == refused
    if found:
        noun = "patient" if patients == 1 else "patients"
        assert found == [
            f"This site has {patients} training {noun} for the study, but policy.minimum_cohort asks for 20."
        ]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (("loss", "audit", "evaluation", "receipt"), ()),
        (("loss", "audit", "evaluation"), ("receipt",)),
        (("loss",), ("audit", "evaluation", "receipt")),
        (("evaluation",), ("audit", "receipt")),
        ((), ("audit", "evaluation", "receipt")),
    ],
)
def test_audit_and_evaluation_are_withheld_not_refused(metrics, expected) -> None:
    policy = PolicySection(metrics=metrics)
    assert withheld(policy) == expected
    assert bool(problems(policy, study(), 3)) == ("loss" not in metrics)


def test_no_privacy_fits_no_limit_only(tmp_path) -> None:
    limited = CohortSection(folder=tmp_path, maximum_epsilon=4.0)
    free = CohortSection(folder=tmp_path, maximum_epsilon=None)
    plain = study(privacy={"mode": "none"})
    assert budget_problems("main", free, plain) == []
    assert budget_problems("main", limited, study()) == []
    (sentence,) = budget_problems("main", limited, plain)
    assert sentence == (
        "privacy.mode is none, whose epsilon has no limit, but cohorts.main.maximum_epsilon allows 4."
    )
    policy = PolicySection(modes=("local", "none"))
    site = SiteFile(cohorts={"main": limited, "public": free}, policy=policy)
    assert refusals(site, "main", plain, 3) == [sentence]
    assert refusals(site, "public", plain, 3) == []


FAMILIES, MODES = tuple(specs()), ("local", "distributed", "none")
policies = st.builds(
    PolicySection,
    minimum_sites=st.integers(1, 8),
    minimum_cohort=st.integers(1, 60),
    families=st.none()
    | st.sets(st.sampled_from(FAMILIES), min_size=1).map(lambda kinds: tuple(sorted(kinds))),
    modes=st.sets(st.sampled_from(MODES), min_size=1).map(lambda kinds: tuple(sorted(kinds))),
    require_secure_aggregation=st.booleans(),
    largest_study_epsilon=st.floats(0.1, 20),
    metrics=st.sets(st.sampled_from(("loss", "audit", "evaluation", "receipt"))).map(
        lambda kinds: tuple(sorted(kinds))
    ),
)
studies = st.builds(
    lambda family, mode, epsilon, secure, fewest: study(
        family,
        privacy={"mode": mode, "epsilon": epsilon},
        aggregation={"secure": secure, "minimum_sites": fewest},
    ),
    family=st.sampled_from(FAMILIES),
    # What a study file may say today.
    mode=st.sampled_from(("local", "none")),
    epsilon=st.floats(0.1, 20),
    secure=st.booleans(),
    fewest=st.integers(3, 8),
)


def stricter(one: PolicySection, two: PolicySection) -> PolicySection | None:
    """What both allow; None where they allow nothing in common, which no policy can say."""

    def common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value for value in a if value in b)

    modes = common(one.modes, two.modes)
    # None allows every family.
    families = common(one.families or FAMILIES, two.families or FAMILIES)
    if not families or not modes:
        return None
    return PolicySection(
        minimum_sites=max(one.minimum_sites, two.minimum_sites),
        minimum_cohort=max(one.minimum_cohort, two.minimum_cohort),
        families=families,
        modes=modes,
        require_secure_aggregation=one.require_secure_aggregation or two.require_secure_aggregation,
        largest_study_epsilon=min(one.largest_study_epsilon, two.largest_study_epsilon),
        metrics=common(one.metrics, two.metrics),
    )


@given(policies, policies, studies, st.integers(1, 10), st.integers(1, 80))
def test_a_stricter_policy_never_allows_more(one, two, asked, roster, patients) -> None:
    both = stricter(one, two)
    if both is None:
        return
    refused = any(problems(policy, asked, roster) for policy in (one, two))
    # Not only never looser: what both allow is exactly what neither refuses.
    assert bool(problems(both, asked, roster)) == refused
    small = any(cohort_problems(policy, patients) for policy in (one, two))
    assert bool(cohort_problems(both, patients)) == small
    assert set(withheld(both)) == set(withheld(one)) | set(withheld(two))


@given(policies, studies, st.integers(1, 10))
def test_every_problem_is_one_sentence_that_names_the_policy(policy, asked, roster) -> None:
    for sentence in problems(policy, asked, roster):
        assert sentence.endswith(".")
        assert "policy." in sentence
        assert "\n" not in sentence
