"""`fedgen-client ledger`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.errors import FedgenError
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.cli.told_studies import LedgersTold, cohort_told, damaged_told
from fedgen_client.folder import SiteFolder
from fedgen_client.site_file import CohortSection
from fedgen_client.studies import Studies

if TYPE_CHECKING:  # it loads torch
    from fedgen_client.books import Balance


NO_NAME = "a study no longer kept"


@tells(LedgersTold)
def ledger(as_json: AsJson = False, folder: Folder = DEFAULT_FOLDER) -> None:
    """Verify each cohort's ledger and show what is spent and left; exit 3 where one is damaged."""
    from fedgen_client.books import balance, every_cohort  # heavy

    place = site(folder)
    cohorts = place.load_site_file().cohorts
    names = _names(place)
    damaged: FedgenError | None = None
    told = []
    for cohort in every_cohort(place, cohorts):
        section = cohorts.get(cohort) or CohortSection(folder=place.path, maximum_epsilon=None)
        try:
            found = balance(place.ledger(cohort), cohort, section)
        except FedgenError as error:
            # The other cohorts are shown all the same; the error ends the command.
            damaged = damaged or error
            told.append(damaged_told(cohort, str(error), cohort in cohorts))
            if not as_json:
                say(f"{cohort}: DAMAGED", "red")
            continue
        told.append(cohort_told(found, names, cohort in cohorts))
        if as_json:
            continue
        say(_summary(found, known=cohort in cohorts))
        for study, epsilon in found.studies.items():
            say(_study_line(found, study, names.get(study, NO_NAME), epsilon))
        for study, epsilon in found.kept_free.items():
            say(_free_line(study, names.get(study), epsilon))
    if as_json:
        print_told(LedgersTold(cohorts=tuple(told)))
    if damaged is not None:
        raise damaged


def _summary(found: Balance, known: bool) -> str:
    from fedgen_client.books import shown

    text = f"{found.cohort}: epsilon {shown(found.spent)} spent at delta {found.delta:g}"
    if not known:
        return f"{text}; the site file has no such cohort any more (ledger verified)"
    if found.limit is None or found.left is None:
        return f"{text}, NO LIMIT (ledger verified)"
    # Downwards, so that what is shown is never more than is left.
    return f"{text} of {found.limit:g}, {int(found.left * 1000) / 1000:g} left (ledger verified)"


def _study_line(found: Balance, study: str, name: str, epsilon: float) -> str:
    from fedgen_client.books import shown

    rounds = found.rounds[study]
    return f"    {name}  {study[:12]}  {rounds} round{'s' * (rounds != 1)}, epsilon {shown(epsilon)} alone"


def _free_line(study: str, name: str | None, epsilon: float) -> str:
    from fedgen_client.books import shown

    until = "it is over" if name is None else f"it is over, or you run `fedgen-client deny {study[:12]}`"
    return f"    {name or NO_NAME}  {study[:12]}  epsilon {shown(epsilon)} alone, kept free until {until}"


def _names(folder: SiteFolder) -> dict[str, str]:
    # Names are a comfort: a ledger can be read also where the federation's files are gone or damaged.
    try:
        return {study.study_sha256: study.name for study in Studies(folder).all()}
    except FedgenError:
        return {}
