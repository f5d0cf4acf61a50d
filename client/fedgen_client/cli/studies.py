"""`fedgen-client studies`, `approve` and `deny`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen_client.cli.options import (
    DEFAULT_FOLDER,
    Folder,
    StudyName,
    say,
    say_paragraph,
    site,
    somebody_is_there,
)

if TYPE_CHECKING:
    from fedgen_client.site_file import SiteFile
    from fedgen_client.studies import OfferedStudy


@tells("fedgen_client.cli.told_studies:StudiesTold")
def studies(as_json: AsJson = False, folder: Folder = DEFAULT_FOLDER) -> None:
    """List the studies that the coordinator offers to this site, and what was decided of each."""
    from fedgen_client.offers import fetch
    from fedgen_client.plain import printable
    from fedgen_client.studies import Studies

    place = site(folder)
    site_file = place.load_site_file()
    known = Studies(place)
    error = fetch(place, known)
    if as_json:
        from fedgen_client.cli.told_studies import StudiesTold
        from fedgen_client.site_facts import study_facts

        told = tuple(study_facts(site_file, offered) for offered in known.all())
        print_told(StudiesTold(studies=told, out_of_date=None if error is None else str(error)))
    for offered in () if as_json else known.all():
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
    from fedgen_client.consent import choose_cohort
    from fedgen_client.deciding import consider, take_part
    from fedgen_client.offers import fetch
    from fedgen_client.studies import Studies

    place = site(folder)
    site_file = place.load_site_file()
    known = Studies(place)
    error = fetch(place, known)
    if error is not None:
        say(f"Not all studies are up to date: {error}", "yellow")
    offered = known.find(study)
    chosen = choose_cohort(site_file, cohort)
    considered = consider(place, site_file, offered, chosen)
    for heading, text in considered.paragraphs:
        say_paragraph(heading, text)
    if not considered.problems and not yes:
        _ask(offered)
    approval = take_part(place, site_file, offered, chosen, pretrained)
    say(
        f"Approved for cohort {chosen} by {approval.by}. Next: run `fedgen-client start` if it is not running."
    )


def deny(
    study: StudyName,
    reason: Annotated[str | None, typer.Option("--reason", metavar="WHY", help="Kept at this site.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Deny a study; an approval that was given ends, also of a study that is running."""
    from fedgen_client.consent import deny as record_denial
    from fedgen_client.studies import Studies

    place = site(folder)
    offered = Studies(place).find(study)
    record_denial(place, offered, reason)
    say(f"Denied: this site does not take part in {offered.name}.")


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
    from fedgen_client.standing import decided, standing

    found = standing(site_file, offered)
    if found.state == "forbidden":
        return found.why
    if found.decision is None:
        lapsed = "its manifest has changed since it was decided on, so " if offered.lapsed else ""
        return f"offered: {lapsed}read it with `fedgen-client approve {offered.study_sha256[:12]}`"
    cohort = "" if found.decision.cohort is None else f" for cohort {found.decision.cohort}"
    return f"{found.state}{cohort} by {decided(found.decision)}"
