"""Whether a study is within a site's policy: pure functions, the same for a person's question and before any work.

Each problem is one sentence with the study's key, what it asks, and what the site file allows. None means allowed.
Every rule is monotone: a stricter policy refuses whatever a looser one refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedgen.protocol.spoken_key import spoken_key
from fedgen_client.site_file import CohortSection, Metric, PolicySection, SiteFile

if TYPE_CHECKING:
    from fedgen.study.study import Study


def problems(policy: PolicySection, study: Study, roster_size: int) -> list[str]:
    """What a study with so many sites asks beyond the policy."""
    found = [*_company(policy, study, roster_size), *_privacy(policy, study)]
    if "loss" not in policy.metrics and study.steps:
        # It travels within the sum of every round; the other metrics have answers of their own and are withheld.
        found.append(
            f"training sends the loss of its {study.training.rounds} rounds with the updates, but policy.metrics "
            f"allows {_listed(policy.metrics)}."
        )
    if policy.families is not None and study.model.family not in policy.families:
        found.append(
            f"model.family is {study.model.family}, but policy.families allows {_listed(policy.families)}."
        )
    return found


def _company(policy: PolicySection, study: Study, roster_size: int) -> list[str]:
    found = []
    if roster_size < policy.minimum_sites:
        found.append(
            f"The roster has {roster_size} {'site' if roster_size == 1 else 'sites'}, but policy.minimum_sites asks "
            f"for {policy.minimum_sites}."
        )
    asked = study.aggregation.minimum_sites
    if asked < policy.minimum_sites:
        # A large roster is no company where a round may go on with few of it.
        found.append(
            f"aggregation.minimum_sites lets a round go on with {asked}, but policy.minimum_sites asks for "
            f"{policy.minimum_sites}."
        )
    if policy.require_secure_aggregation and not study.aggregation.secure:
        found.append(
            "aggregation.secure is false, so the coordinator would see this site's update, but "
            "policy.require_secure_aggregation is true."
        )
    return found


def _privacy(policy: PolicySection, study: Study) -> list[str]:
    found = []
    privacy = study.privacy
    if privacy.mode not in policy.modes:
        found.append(f"privacy.mode is {privacy.mode}, but policy.modes allows {_listed(policy.modes)}.")
    if privacy.private and privacy.epsilon > policy.largest_study_epsilon:
        found.append(
            f"privacy.epsilon is {privacy.epsilon:g}, but policy.largest_study_epsilon allows "
            f"{policy.largest_study_epsilon:g}."
        )
    return found


def cohort_problems(policy: PolicySection, patients: int) -> list[str]:
    """What is wrong with so many training patients of this site."""
    if patients >= policy.minimum_cohort:
        return []
    return [
        f"This site has {patients} training {'patient' if patients == 1 else 'patients'} for the study, but "
        f"policy.minimum_cohort asks for {policy.minimum_cohort}."
    ]


def stranger_problems(policy: PolicySection, others: Mapping[str, str]) -> list[str]:
    """What is wrong with the other sites of a roster, where this site knows its company.

    Args:
        policy: of this site.
        others: name and Ed25519 public key, hex, of every site of the roster but this one.
    """
    known = policy.known_sites
    if known is None:
        return []
    strangers = sorted(site for site in others if site not in known)
    swapped = sorted(
        site
        for site, key in others.items()
        if site in known and spoken_key(bytes.fromhex(key)) != known[site]
    )
    found = []
    if strangers:
        found.append(
            f"The roster has {', '.join(strangers)}, whom policy.known_sites does not list: compare fingerprints with "
            "them by telephone before you add them."
        )
    if swapped:
        found.append(
            f"The roster has another key for {', '.join(swapped)} than policy.known_sites: whoever made the roster may "
            "be in their place, so ask them by telephone, and not the coordinator."
        )
    return found


def identity_problems(name: str, cohort: CohortSection, study: Study) -> list[str]:
    """What a study would take for a patient that this hospital does not."""
    pinned, data = cohort.patient_column, study.data
    if pinned is None:
        return []
    found = []
    if data.columns.patient != pinned:
        found.append(
            f"data.columns.patient is {data.columns.patient}, but cohorts.{name}.patient_column says that {pinned} "
            "tells patients apart."
        )
    if data.patient_rule is not None:
        found.append(
            f"data.patient_rule tells patients apart by names of files, but cohorts.{name}.patient_column says that "
            f"the column {pinned} does."
        )
    return found


def budget_problems(name: str, cohort: CohortSection, study: Study) -> list[str]:
    """What a study asks beyond a cohort's budget whatever was spent before; the ledger judges the rest."""
    if not study.privacy.private and cohort.maximum_epsilon is not None:
        return [
            f"privacy.mode is none, whose epsilon has no limit, but cohorts.{name}.maximum_epsilon allows "
            f"{cohort.maximum_epsilon:g}."
        ]
    return []


def withheld(policy: PolicySection) -> tuple[Metric, ...]:
    """Numbers that a study asks for once it is trained, and that this site does not answer with."""
    asked: tuple[Metric, ...] = ("audit", "evaluation", "receipt")
    return tuple(metric for metric in asked if metric not in policy.metrics)


def refusals(site: SiteFile, cohort: str, study: Study, others: Mapping[str, str]) -> list[str]:
    """Everything that can be said against a study before the data is read.

    Args:
        site: the site file.
        cohort: one of its cohorts.
        study: what is asked.
        others: as `stranger_problems`.

    Raises:
        KeyError: the site file has no such cohort.
    """
    return [
        *problems(site.policy, study, len(others) + 1),
        *stranger_problems(site.policy, others),
        *identity_problems(cohort, site.cohorts[cohort], study),
        *budget_problems(cohort, site.cohorts[cohort], study),
    ]


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(values) or "nothing"
