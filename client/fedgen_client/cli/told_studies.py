"""What `fedgen-client studies`, `check` and `ledger` tell a program."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from fedgen.schema.section import Section
from fedgen_client.checks.line import CheckLine, worst
from fedgen_client.site_facts import CohortFacts, StudyFacts


class StudiesTold(Section):
    """The studies that are offered to this site, and what was decided of each."""

    studies: tuple[StudyFacts, ...] = Field(description="the latest first")
    out_of_date: str | None = Field(
        description="why the list may lack something, where the coordinator could not be asked"
    )


class CheckTold(Section):
    """A finding of a check."""

    about: str = Field(description="what was looked at")
    ok: bool = Field(description="whether nothing has to be mended")
    code: int = Field(description="exit code that the problem stands for; 0 where there is none")
    text: str = Field(description="what was found, and what to do")


class ChecksTold(Section):
    """What `check` found, from the data to the coordinator."""

    ok: bool = Field(description="whether nothing has to be mended")
    code: int = Field(description="the command's exit code: the worst of the findings")
    findings: tuple[CheckTold, ...] = Field(description="in the order in which they were made")


class LedgersTold(Section):
    """The ledgers of all cohorts, verified."""

    cohorts: tuple[CohortFacts, ...] = Field(
        description="those of the site file, then others that have a ledger"
    )


def checks_told(lines: Sequence[CheckLine]) -> ChecksTold:
    """Findings as a program reads them."""
    code = worst(lines)
    findings = tuple(
        CheckTold(about=line.about, ok=line.ok, code=int(line.code), text=line.text) for line in lines
    )
    return ChecksTold(ok=all(line.ok for line in lines), code=int(code), findings=findings)
