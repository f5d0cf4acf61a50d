"""Each rule of a policy refuses by itself, and a stricter policy never allows what a looser one refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.families.registry import specs
from fedgen.protocol.spoken_key import spoken_key
from fedgen.study.study import Study
from fedgen_client.policy import (
    budget_problems,
    cohort_problems,
    identity_problems,
    problems,
    refusals,
    stranger_problems,
    withheld,
)
from fedgen_client.site_file import CohortSection, PolicySection, SiteFile

#: Two other sites with their keys, as a roster has them.
OTHERS = {"east": "11" * 32, "south": "22" * 32}


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
    assert refusals(site, "main", plain, OTHERS) == [sentence]
    assert refusals(site, "public", plain, OTHERS) == []


def known(**keys: str) -> PolicySection:
    return PolicySection(known_sites={site: spoken_key(bytes.fromhex(key)) for site, key in keys.items()})


def test_known_company_is_welcome_and_so_is_a_part_of_it() -> None:
    assert stranger_problems(PolicySection(), {"anybody": "33" * 32}) == []
    assert stranger_problems(known(**OTHERS, west="33" * 32), OTHERS) == []
    assert stranger_problems(known(**OTHERS), {}) == []


def test_an_invented_site_and_a_swapped_key_are_refused() -> None:
    assert stranger_problems(known(**OTHERS), {**OTHERS, "phantom": "44" * 32}) == [
        "The roster has phantom, whom policy.known_sites does not list: compare fingerprints with them by telephone "
        "before you add them."
    ]
    (sentence,) = stranger_problems(known(**OTHERS), {**OTHERS, "south": "55" * 32})
    assert sentence.startswith("The roster has another key for south than policy.known_sites: ")
    # Known keys under one another's names are swapped keys too.
    assert len(stranger_problems(known(**OTHERS), {"east": "22" * 32, "south": "11" * 32})) == 1
    # Nobody is known: nobody is company.
    assert stranger_problems(known(), OTHERS)
    site = SiteFile(
        cohorts={"main": CohortSection(folder=".", maximum_epsilon=10.0)},  # type: ignore[arg-type]
        policy=known(**OTHERS),
    )
    assert refusals(site, "main", study(), OTHERS) == []
    assert refusals(site, "main", study(), {**OTHERS, "phantom": "44" * 32})


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3).map(lambda n: f"{n:02d}" * 32)), st.data())
def test_fewer_known_sites_never_allow_more(others, data) -> None:
    """Naming a site fewer, or another key of one, refuses whatever was refused before."""
    all_known = {site: data.draw(st.integers(0, 3).map(lambda n: f"{n:02d}" * 32)) for site in "abcd"}
    fewer = {site: key for site, key in all_known.items() if data.draw(st.booleans())}
    if stranger_problems(known(**all_known), others):
        assert stranger_problems(known(**fewer), others)
    allowed = all(fewer.get(site) == key for site, key in others.items())
    assert (stranger_problems(known(**fewer), others) == []) == allowed


@pytest.mark.parametrize(
    "typed", ["12345 67890 12345 67890 12345 67890 12345 67890", "12345-67890" * 4, "1234567890" * 4]
)
def test_a_fingerprint_is_read_however_it_was_typed(typed: str) -> None:
    assert PolicySection(known_sites={"east": typed}).known_sites == {
        "east": " ".join(["12345 67890"] * 4),
    }


@pytest.mark.parametrize("typed", ["", "12345", "1234567890" * 4 + "1", "abcde" * 8, "١٢٣٤٥" * 8])
def test_what_is_no_fingerprint_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="must be 40 digits"):
        PolicySection(known_sites={"east": typed})


def test_a_study_that_takes_another_column_for_the_patient_is_refused(tmp_path) -> None:
    pinned = CohortSection(folder=tmp_path, maximum_epsilon=10.0, patient_column="mrn")
    free = CohortSection(folder=tmp_path, maximum_epsilon=10.0)
    right = study(data={"columns": {"patient": "mrn"}})
    assert identity_problems("main", free, study(data={"patient_rule": "image"})) == []
    assert identity_problems("main", pinned, right) == []
    assert identity_problems("main", pinned, study()) == [
        "data.columns.patient is patient, but cohorts.main.patient_column says that mrn tells patients apart."
    ]
    (sentence,) = identity_problems(
        "main", pinned, study(data={"columns": {"patient": "mrn"}, "patient_rule": "image"})
    )
    assert sentence.startswith("data.patient_rule tells patients apart by names of files")
    site = SiteFile(cohorts={"main": pinned})
    assert refusals(site, "main", study(), OTHERS)


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
