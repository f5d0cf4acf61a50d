"""What a site knows of its studies and of its cohorts' budgets: the commands print it, the page shows it.

Light until a ledger is read: the accountants load torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from fedgen.cli.as_json import finite
from fedgen.errors import FedgenError
from fedgen.schema.section import Section
from fedgen_client.folder import SiteFolder
from fedgen_client.site_file import CohortSection, SiteFile
from fedgen_client.standing import State, standing
from fedgen_client.studies import OfferedStudy, Studies


class StudyFacts(Section):
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


class SpentFacts(Section):
    """What one study has cost a cohort, or is admitted for."""

    study: str = Field(description="hash")
    name: str | None = Field(description="null for a study that is no longer kept here")
    rounds: int = Field(description="charged")
    epsilon: float | None = Field(description="of what was charged, alone; null without a bound")
    kept_free: float | None = Field(
        description="epsilon of the whole study, alone, where it was admitted and is not done; null otherwise"
    )


class CohortFacts(Section):
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
    studies: tuple[SpentFacts, ...] = Field(description="each study with a charge or with budget kept free")

    def of(self, study: str) -> SpentFacts | None:
        """What one study, named by its hash, has cost; None where nothing was charged or admitted."""
        return next((each for each in self.studies if each.study == study), None)


def study_facts(site_file: SiteFile, offered: OfferedStudy) -> StudyFacts:
    """A study as it stands now."""
    study, stands = offered.study, standing(site_file, offered)
    decision, private = stands.decision, study.privacy.private
    return StudyFacts(
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


def cohort_facts(
    folder: SiteFolder, cohort: str, section: CohortSection | None, names: Mapping[str, str]
) -> tuple[CohortFacts, FedgenError | None]:
    """A cohort's ledger, verified and added up; of one that is damaged, what is wrong with it, and the error.

    Args:
        folder: of the site.
        cohort: name of the cohort.
        section: of the site file, or None for a cohort that it no longer has: what was spent stays spent.
        names: study hash to name.
    """
    from fedgen_client.books import balance  # loads torch

    try:
        counted = section or CohortSection(folder=folder.path, maximum_epsilon=None)
        found = balance(folder.ledger(cohort), cohort, counted)
    except FedgenError as error:
        return CohortFacts(
            cohort=cohort, in_site_file=section is not None, damaged=str(error), delta=None, bounded=None,
            spent=None, promised=None, limit=None, left=None, studies=(),
        ), error  # fmt: skip
    facts = CohortFacts(
        cohort=cohort,
        in_site_file=section is not None,
        damaged=None,
        delta=found.delta,
        bounded=finite(found.spent) is not None,
        spent=finite(found.spent),
        promised=finite(found.promised),
        limit=found.limit,
        left=found.left,
        studies=tuple(
            SpentFacts(
                study=study,
                name=names.get(study),
                rounds=found.rounds.get(study, 0),
                epsilon=finite(found.studies.get(study, 0.0)),
                kept_free=finite(found.kept_free.get(study)),
            )
            for study in dict.fromkeys([*found.studies, *found.kept_free])
        ),
    )
    return facts, None


def study_names(folder: SiteFolder) -> dict[str, str]:
    """Study hash to name; empty where they cannot be read: a ledger is shown without the federation's files too."""
    try:
        return {study.study_sha256: study.name for study in Studies(folder).all()}
    except FedgenError:
        return {}
