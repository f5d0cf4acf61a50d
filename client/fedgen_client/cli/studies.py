"""`fedgen-client studies`, `approve` and `deny`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.errors import FedgenError, PrivacyRefusedError, StudyError
from fedgen_client.approval import Approval
from fedgen_client.cli.options import (
    DEFAULT_FOLDER,
    Folder,
    StudyName,
    say,
    say_paragraph,
    site,
    somebody_is_there,
)
from fedgen_client.consent import approve as record_approval
from fedgen_client.consent import choose_cohort
from fedgen_client.consent import deny as record_denial
from fedgen_client.coordinator import Coordinator
from fedgen_client.folder import SiteFolder
from fedgen_client.plain import printable
from fedgen_client.policy import refusals
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy, Studies


def studies(folder: Folder = DEFAULT_FOLDER) -> None:
    """List the studies that the coordinator offers to this site, and what was decided of each."""
    place = site(folder)
    site_file = place.load_site_file()
    known = Studies(place)
    error = refresh(place, known)
    for offered in known.all():
        say(_line(offered))
        say(f"    {printable(_state(site_file, offered))}")
    if error is not None:
        raise error


def approve(
    study: StudyName,
    cohort: Annotated[
        str | None,
        typer.Option("--cohort", metavar="C", help="Whose patients take part and whose budget pays."),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(
            "--pretrained",
            "--prior",
            metavar="FILE",
            help="The weights under the adapters, where the study trains some, or the prior on which it stands.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show in words what a study would do and cost, ask, and record the approval of this very study."""
    place = site(folder)
    site_file = place.load_site_file()
    known = Studies(place)
    error = refresh(place, known)
    if error is not None:
        say(f"Not all studies are up to date: {error}", "yellow")
    offered = known.find(study)
    chosen = choose_cohort(site_file, cohort)
    if _show(place, site_file, offered, chosen) and not yes:
        _ask(offered)
    if pretrained is not None or offered.study.model.frozen:
        from fedgen_client.given_start import take_start  # loads torch

        take_start(place, offered, pretrained)
    approval = record_approval(place, site_file, offered, chosen)
    say(
        f"Approved for cohort {chosen} by {approval.by}. Next: run `fedgen-client start` if it is not running."
    )


def deny(
    study: StudyName,
    reason: Annotated[str | None, typer.Option("--reason", metavar="WHY", help="Kept at this site.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Deny a study; an approval that was given ends, also of a study that is running."""
    place = site(folder)
    offered = Studies(place).find(study)
    record_denial(place, offered, reason)
    say(f"Denied: this site does not take part in {offered.name}.")


def refresh(folder: SiteFolder, known: Studies) -> FedgenError | None:
    """Fetch and keep what the coordinator offers; the first error where something of that failed."""
    try:
        with Coordinator.of(folder) as coordinator:
            errors = known.keep_all(coordinator.studies())
    except FedgenError as error:
        return error
    return errors[0] if errors else None


def _show(folder: SiteFolder, site_file: SiteFile, offered: OfferedStudy, cohort: str) -> bool:
    """Print what a person should know; whether the policy allows the study."""
    from fedgen.planning.exchanged import exchanged
    from fedgen.planning.useless import publicly_useless
    from fedgen_client.books import balance  # these load torch
    from fedgen_client.words import describe

    problems = refusals(site_file, cohort, offered.study, offered.roster_size)
    paragraphs = describe(
        offered,
        site_file,
        cohort,
        problems,
        exchanged(offered.study, offered.roster_size),
        balance(folder.ledger(cohort), cohort, site_file.cohorts[cohort]),
        publicly_useless(offered.study, offered.roster_size),
    )
    for heading, text in paragraphs:
        say_paragraph(heading, text)
    return not problems


def _ask(offered: OfferedStudy) -> None:
    if not somebody_is_there():
        raise StudyError(
            f"Nobody can be asked here whether to approve {offered.name}: read the above and add --yes."
        )
    if not typer.confirm(f"Approve {offered.name}?", default=False):
        raise PrivacyRefusedError(
            f"{offered.name} is not approved and nothing was recorded: deny it with "
            f"`fedgen-client deny {offered.study_sha256[:12]}`."
        )


def _line(offered: OfferedStudy) -> str:
    study = offered.study
    epsilon = "NO privacy" if not study.privacy.private else f"epsilon {study.privacy.epsilon:g}"
    return (
        f"{offered.name}  {offered.study_sha256[:12]}  {study.model.family}, {study.total_rounds} rounds, "
        f"{epsilon}, {offered.roster_size} sites, signed {offered.manifest.created:%Y-%m-%d %H:%M} UTC"
    )


def _state(site_file: SiteFile, offered: OfferedStudy) -> str:
    decision = offered.decision
    if decision is not None and decision.decision == "denied":
        return f"denied by {_by(decision)}"
    cohorts = list(site_file.cohorts) if decision is None or decision.cohort is None else [decision.cohort]
    if not set(cohorts) <= set(site_file.cohorts):
        return f"approved for cohort {cohorts[0]}, which the site file no longer has"
    problems = [refusals(site_file, name, offered.study, offered.roster_size) for name in cohorts]
    if all(problems):
        before = "" if decision is None else "approved before, but now "
        return f"{before}forbidden by policy: {' '.join(problems[0])}"
    if decision is not None:
        return f"approved for cohort {decision.cohort} by {_by(decision)}"
    lapsed = "its manifest has changed since it was decided on, so " if offered.lapsed else ""
    return f"offered: {lapsed}read it with `fedgen-client approve {offered.study_sha256[:12]}`"


def _by(decision: Approval) -> str:
    why = f" ({decision.reason})" if decision.reason else ""
    return f"{decision.by} on {decision.time:%Y-%m-%d %H:%M} UTC{why}"
