"""What `fedgen-client studies`, `check` and `ledger` tell a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from fedgen.cli.as_json import finite
from fedgen.schema.section import Section
from fedgen_client.checks.line import CheckLine, worst
from fedgen_client.site_file import SiteFile
from fedgen_client.standing import State, standing
from fedgen_client.studies import OfferedStudy

if TYPE_CHECKING:  # it loads torch
    from fedgen_client.books import Balance


class StudyTold(Section):
    """One study."""

    name: str = Field(description="of the study")
    study: str = Field(description="its hash")
    family: str = Field(description="of the model")
    rounds: int = Field(description="that would read patients")
    mode: str = Field(description="of its privacy: local, distributed or none")
    epsilon: float | None = Field(description="it asks for; null without privacy")
    delta: float | None = Field(description="it is counted at; null without privacy")
    sites: int = Field(description="on its roster, this one included")
    signed: str = Field(description="when the coordinator signed it")
    state: State = Field(
        description="offered where a person has to decide; forbidden where the policy does not let it run"
    )
    why: str = Field(description="what forbids it; empty otherwise")
    cohort: str | None = Field(description="whose patients were approved")
    decided_by: str | None = Field(description="person and machine, or `policy`")
    decided: str | None = Field(description="when")
    reason: str | None = Field(description="that was given for the decision")


class StudiesTold(Section):
    """The studies that are offered to this site, and what was decided of each."""

    studies: tuple[StudyTold, ...] = Field(description="the latest first")
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


class SpentTold(Section):
    """What one study has cost a cohort, or is admitted for."""

    study: str = Field(description="hash")
    name: str | None = Field(description="null for a study that is no longer kept here")
    rounds: int = Field(description="charged")
    epsilon: float | None = Field(description="of what was charged, alone; null without a bound")
    kept_free: float | None = Field(
        description="epsilon of the whole study, alone, where it was admitted and is not done; null otherwise"
    )


class CohortTold(Section):
    """The ledger of one cohort."""

    cohort: str = Field(description="name")
    in_site_file: bool = Field(description="whether the site file still has it")
    damaged: str | None = Field(description="what is wrong with the ledger; nothing else is then known of it")
    delta: float | None = Field(description="at which epsilon is counted")
    bounded: bool | None = Field(description="false after work without privacy, whose epsilon has no bound")
    spent: float | None = Field(description="epsilon of all studies together, an upper bound")
    promised: float | None = Field(description="the same once every admitted study is done")
    limit: float | None = Field(description="maximum_epsilon of the site file; null for none")
    left: float | None = Field(description="that another study may certainly spend; null without a limit")
    studies: tuple[SpentTold, ...] = Field(description="each study with a charge or with budget kept free")


class LedgersTold(Section):
    """The ledgers of all cohorts, verified."""

    cohorts: tuple[CohortTold, ...] = Field(
        description="those of the site file, then others that have a ledger"
    )


def study_told(site_file: SiteFile, offered: OfferedStudy) -> StudyTold:
    """A study as a program reads it."""
    study, stands = offered.study, standing(site_file, offered)
    decision, private = stands.decision, study.privacy.private
    return StudyTold(
        name=offered.name,
        study=offered.study_sha256,
        family=study.model.family,
        rounds=study.total_rounds,
        mode=study.privacy.mode,
        epsilon=study.privacy.epsilon if private else None,
        delta=study.privacy.delta if private else None,
        sites=offered.roster_size,
        signed=offered.manifest.created.isoformat(),
        state=stands.state,
        why=stands.why,
        cohort=None if decision is None else decision.cohort,
        decided_by=None if decision is None else decision.by,
        decided=None if decision is None else decision.time.isoformat(),
        reason=None if decision is None else decision.reason,
    )


def checks_told(lines: Sequence[CheckLine]) -> ChecksTold:
    """Findings as a program reads them."""
    code = worst(lines)
    findings = tuple(
        CheckTold(about=line.about, ok=line.ok, code=int(line.code), text=line.text) for line in lines
    )
    return ChecksTold(ok=all(line.ok for line in lines), code=int(code), findings=findings)


def cohort_told(found: Balance, names: Mapping[str, str], in_site_file: bool) -> CohortTold:
    """A verified ledger as a program reads it."""
    studies = dict.fromkeys([*found.studies, *found.kept_free])
    return CohortTold(
        cohort=found.cohort,
        in_site_file=in_site_file,
        damaged=None,
        delta=found.delta,
        bounded=finite(found.spent) is not None,
        spent=finite(found.spent),
        promised=finite(found.promised),
        limit=found.limit,
        left=found.left,
        studies=tuple(
            SpentTold(
                study=study,
                name=names.get(study),
                rounds=found.rounds.get(study, 0),
                epsilon=finite(found.studies.get(study, 0.0)),
                kept_free=finite(found.kept_free.get(study)),
            )
            for study in studies
        ),
    )


def damaged_told(cohort: str, sentence: str, in_site_file: bool) -> CohortTold:
    """A ledger that cannot be believed."""
    return CohortTold(
        cohort=cohort, in_site_file=in_site_file, damaged=sentence, delta=None, bounded=None, spent=None,
        promised=None, limit=None, left=None, studies=(),
    )  # fmt: skip
