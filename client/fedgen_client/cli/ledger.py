"""`fedgen-client ledger`."""

from __future__ import annotations

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.errors import FedgenError
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.cli.told_studies import LedgersTold
from fedgen_client.site_facts import CohortFacts, SpentFacts, cohort_facts, study_names

NO_NAME = "a study no longer kept"


@tells(LedgersTold)
def ledger(as_json: AsJson = False, folder: Folder = DEFAULT_FOLDER) -> None:
    """Verify each cohort's ledger and show what is spent and left; exit 3 where one is damaged."""
    from fedgen_client.books import every_cohort  # heavy

    place = site(folder)
    cohorts = place.load_site_file().cohorts
    names = study_names(place)
    damaged: FedgenError | None = None
    found = []
    for cohort in every_cohort(place, cohorts):
        facts, error = cohort_facts(place, cohort, cohorts.get(cohort), names)
        found.append(facts)
        # The other cohorts are shown all the same; the error ends the command.
        damaged = damaged or error
        if not as_json:
            _say_cohort(facts)
    if as_json:
        print_told(LedgersTold(cohorts=tuple(found)))
    if damaged is not None:
        raise damaged


def _say_cohort(facts: CohortFacts) -> None:
    if facts.damaged is not None:
        say(f"{facts.cohort}: DAMAGED", "red")
        return
    say(_summary(facts))
    for study in facts.studies:
        if study.rounds:
            say(_study_line(study))
    for study in facts.studies:
        if study.kept_free is not None:
            say(_free_line(study, study.kept_free))


def _summary(facts: CohortFacts) -> str:
    text = f"{facts.cohort}: epsilon {_shown(facts.spent)} spent at delta {facts.delta:g}"
    if not facts.in_site_file:
        return f"{text}; the site file has no such cohort any more (ledger verified)"
    if facts.limit is None or facts.left is None:
        return f"{text}, NO LIMIT (ledger verified)"
    # Downwards, so that what is shown is never more than is left.
    return f"{text} of {facts.limit:g}, {int(facts.left * 1000) / 1000:g} left (ledger verified)"


def _study_line(study: SpentFacts) -> str:
    rounds = f"{study.rounds} round{'s' * (study.rounds != 1)}"
    return f"    {study.name or NO_NAME}  {study.study[:12]}  {rounds}, epsilon {_shown(study.epsilon)} alone"


def _free_line(study: SpentFacts, kept_free: float) -> str:
    short = study.study[:12]
    until = "it is over" if study.name is None else f"it is over, or you run `fedgen-client deny {short}`"
    return f"    {study.name or NO_NAME}  {short}  epsilon {_shown(kept_free)} alone, kept free until {until}"


def _shown(epsilon: float | None) -> str:
    from fedgen_client.books import shown

    return shown(float("inf") if epsilon is None else epsilon)
