"""What a person reads of a study before deciding, and what an approval does: one way, for the command and the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedgen_client.approval import Approval
from fedgen_client.consent import approve
from fedgen_client.folder import SiteFolder
from fedgen_client.policy import refusals
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy


@dataclass(frozen=True)
class Considered:
    """A study as a person reads it for one cohort.

    Attributes:
        paragraphs: a heading and its text each, of one line without control characters.
        problems: what the site's policy says against it; where there are any it cannot be approved.
    """

    paragraphs: list[tuple[str, str]]
    problems: list[str]


def consider(folder: SiteFolder, site_file: SiteFile, offered: OfferedStudy, cohort: str) -> Considered:
    """Everything that a study would do and cost, in words; the ledger of the cohort is verified for it.

    Raises:
        PrivacyRefusedError, DataError: the ledger was changed or cannot be read.
        StudyError: the study cannot be compiled here.
    """
    from fedgen.planning.exchanged import exchanged
    from fedgen.planning.useless import publicly_useless
    from fedgen_client.books import balance  # these load torch
    from fedgen_client.words import describe

    problems = refusals(site_file, cohort, offered.study, offered.others)
    paragraphs = describe(
        offered,
        site_file,
        cohort,
        problems,
        exchanged(offered.study, offered.roster_size),
        balance(folder.ledger(cohort), cohort, site_file.cohorts[cohort]),
        publicly_useless(offered.study, offered.roster_size),
    )
    return Considered(paragraphs, problems)


def take_part(
    folder: SiteFolder, site_file: SiteFile, offered: OfferedStudy, cohort: str, start: Path | None = None
) -> Approval:
    """Approve a study that a person has read: what it stands on is kept or made, then the decision is recorded.

    Args:
        folder: of the site.
        site_file: as it is now.
        offered: the very manifest that was read.
        cohort: whose patients take part.
        start: file of the weights or of the prior that the study stands on, where the site is given one.

    Raises:
        StudyError, DataError: a file that it stands on is absent, another, or cannot be used.
        PrivacyRefusedError: the site's own policy forbids it; nothing is approved.
    """
    model = offered.study.model
    if start is not None or model.frozen or model.given_weights:
        from fedgen_client.given_start import take_start  # loads torch

        take_start(folder, offered, start)
    return approve(folder, site_file, offered, cohort)
