"""Approving and denying, and whether a study may run: the one gate before anything is computed, spent or sent."""

from __future__ import annotations

from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen_client.approval import Approval, Decision, now, this_person, write_approval
from fedgen_client.folder import SiteFolder
from fedgen_client.kept_free import let_go
from fedgen_client.policy import refusals
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy

BY_POLICY = "policy"


def choose_cohort(site: SiteFile, wanted: str | None) -> str:
    """The cohort meant; it need not be named where there is only one.

    Raises:
        StudyError: there is no such cohort, or several and none is named.
    """
    names = ", ".join(site.cohorts)
    if wanted is None and len(site.cohorts) > 1:
        raise StudyError(f"The site file has several cohorts ({names}): choose one with --cohort.")
    chosen = wanted or next(iter(site.cohorts))
    if chosen not in site.cohorts:
        raise StudyError(f"The site file has no cohort {chosen!r}: choose one of {names}.")
    return chosen


def approve(
    folder: SiteFolder, site: SiteFile, offered: OfferedStudy, cohort: str, by: str | None = None
) -> Approval:
    """Record that this site takes part with the patients of `cohort`.

    Args:
        folder: of the site.
        site: its site file.
        offered: the very manifest that is approved.
        cohort: a name in the site file.
        by: who approves; by default the person at this machine.

    Raises:
        PrivacyRefusedError: the site's own policy forbids it; the refusal is logged and nothing is approved.
        DataError: the decision cannot be written.
    """
    problems = refusals(site, cohort, offered.study, offered.others)
    if problems:
        _log(folder, "refused", offered, reason=" ".join(problems))
        raise PrivacyRefusedError(forbidden(offered.name, problems))
    approval = _record(folder, offered, "approved", cohort, None, by or this_person())
    let_go(folder, offered.study_sha256, "approved for another cohort", but=cohort)
    return approval


def deny(folder: SiteFolder, offered: OfferedStudy, reason: str | None = None) -> Approval:
    """Record that this site does not take part; an earlier approval ends, also of a study that is running.

    What was kept free for it is others' to spend again; what it has spent stays spent.

    Raises:
        DataError: the decision cannot be written.
        PrivacyRefusedError, LockedError: as `let_go`; the decision stands.
    """
    approval = _record(folder, offered, "denied", None, reason, this_person())
    let_go(folder, offered.study_sha256, "denied")
    return approval


def approve_by_policy(folder: SiteFolder, site: SiteFile, offered: OfferedStudy) -> Approval | None:
    """Approve a study nobody has decided on, where policy.approve is always; None where a person has to.

    Raises:
        StudyError: the site file has several cohorts, so that a person has to choose.
        PrivacyRefusedError, DataError: see `approve`.
    """
    if site.policy.approve != "always" or offered.decision is not None:
        return None
    return approve(folder, site, offered, choose_cohort(site, None), BY_POLICY)


def require_consent(site: SiteFile, offered: OfferedStudy) -> str:
    """The cohort with which a study may run now; to be asked before every task of it.

    Args:
        site: the site file as it is now: a policy that was made stricter ends an approval.
        offered: read from the disk now.

    Raises:
        PrivacyRefusedError: it is not approved, denied, or beyond the policy.
    """
    decision = offered.decision
    if decision is None:
        changed = ", and what was decided before was about another manifest of it" if offered.lapsed else ""
        raise PrivacyRefusedError(
            f"Nobody at this site has approved the study {offered.name}{changed}: run "
            f"`fedgen-client approve {offered.study_sha256[:12]}`."
        )
    if decision.decision == "denied" or decision.cohort is None:
        # Without the reason: this sentence may travel, and the reason was given to be kept here.
        raise PrivacyRefusedError(f"This site denied the study {offered.name}.")
    if decision.cohort not in site.cohorts:
        raise PrivacyRefusedError(
            f"The study {offered.name} was approved for the cohort {decision.cohort}, which the site file no longer "
            "has: put it back, or approve the study again for another."
        )
    problems = refusals(site, decision.cohort, offered.study, offered.others)
    if problems:
        raise PrivacyRefusedError(forbidden(offered.name, problems))
    return decision.cohort


def forbidden(name: str, problems: list[str]) -> str:
    """What to say of a study that the policy forbids."""
    return f"This site's policy forbids the study {name}: {' '.join(problems)}"


def _record(
    folder: SiteFolder,
    offered: OfferedStudy,
    decision: Decision,
    cohort: str | None,
    reason: str | None,
    by: str,
) -> Approval:
    approval = Approval(
        manifest_sha256=offered.manifest_sha256,
        study_sha256=offered.study_sha256,
        cohort=cohort,
        decision=decision,
        reason=reason,
        time=now(),
        by=by,
    )
    # The log first: an approval that left no trace must not exist.
    _log(folder, decision, offered, cohort=cohort, reason=reason, by=by)
    write_approval(folder.study(offered.study_sha256), approval)
    return approval


def _log(folder: SiteFolder, event: str, offered: OfferedStudy, **fields: object) -> None:
    privacy = offered.study.privacy
    folder.journal.write(
        event,
        study=offered.study_sha256,
        name=offered.name,
        manifest=offered.manifest_sha256,
        epsilon=None if not privacy.private else privacy.epsilon,
        **fields,
    )
