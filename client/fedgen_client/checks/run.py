"""All checks, in an order in which each line can be believed where those before it are well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedgen.errors import ExitCode, FedgenError
from fedgen_client.checks.connection import connection_lines
from fedgen_client.checks.line import CheckLine, mend
from fedgen_client.checks.machine import device_lines, disk_line, key_line
from fedgen_client.consent import require_consent
from fedgen_client.folder import SiteFolder
from fedgen_client.policy import refusals
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy, Studies


def check(folder: SiteFolder) -> Iterator[CheckLine]:
    """Every finding about a site, as it is found.

    Nothing is spent and no data leave: studies that the coordinator offers are fetched and kept, and steps are
    timed on noise.
    """
    try:
        site = folder.load_site_file()
    except FedgenError as error:
        yield mend("site file", error)
        return
    yield CheckLine("site file", f"{folder.site_file} is valid.")
    yield disk_line(folder)
    studies: list[OfferedStudy] = []
    try:
        folder.membership()
    except FedgenError as error:
        yield mend("membership", error)
    else:
        yield key_line(folder)
        yield from connection_lines(folder)
        try:
            studies = Studies(folder).all()
        except FedgenError as error:
            yield mend("studies", error)
    wanted = [study for study in studies if _is_wanted(study)]
    yield from _cohorts(folder, site)
    yield from device_lines(site, wanted)
    for study in wanted:
        yield from _study(folder, site, study, studies)


def _is_wanted(study: OfferedStudy) -> bool:
    return study.decision is None or study.decision.decision == "approved"


def _cohorts(folder: SiteFolder, site: SiteFile) -> Iterator[CheckLine]:
    from fedgen_client.books import balance, shown  # heavy
    from fedgen_client.checks.data import cohort_line

    for name, cohort in site.cohorts.items():
        yield cohort_line(name, cohort.folder, site.policy)
        try:
            found = balance(folder.ledger(name), name, cohort)
        except FedgenError as error:
            yield mend(f"ledger {name}", error)
            continue
        limit = "NO LIMIT" if found.limit is None else f"{found.limit:g}"
        text = f"verified; epsilon {shown(found.spent)} of {limit} spent at delta {found.delta:g}"
        if found.limit is None or found.spent < found.limit:
            yield CheckLine(f"ledger {name}", f"{text}.")
        else:
            yield CheckLine(
                f"ledger {name}", f"{text}: nothing is left, no study can go on.", ExitCode.REFUSED
            )


def _study(
    folder: SiteFolder, site: SiteFile, offered: OfferedStudy, all_studies: Sequence[OfferedStudy]
) -> Iterator[CheckLine]:
    same_name = sum(other.name == offered.name for other in all_studies) > 1
    about = f"study {offered.name}" + (f" {offered.study_sha256[:8]}" if same_name else "")
    if offered.decision is not None:
        try:
            cohorts = [require_consent(site, offered)]
        except FedgenError as error:
            yield mend(about, error)
            return
        yield CheckLine(about, f"approved by {offered.decision.by} for cohort {cohorts[0]}.")
    else:
        problems = {name: refusals(site, name, offered.study, offered.others) for name in site.cohorts}
        cohorts = [name for name, found in problems.items() if not found]
        if not cohorts:
            # Nothing to mend: the policy does what it is for.
            first = next(iter(problems.values()))
            yield CheckLine(about, f"not approved, and your policy forbids it: {' '.join(first)}")
            return
        yield CheckLine(
            about, f"not decided: read what it does with `fedgen-client approve {offered.study_sha256[:12]}`."
        )
    yield from work_lines(folder, site, offered, about, cohorts)


def work_lines(
    folder: SiteFolder, site: SiteFile, offered: OfferedStudy, about: str, cohorts: Sequence[str]
) -> Iterator[CheckLine]:
    """What a study would find, cost and take at this site for some cohorts; see `check`."""
    from fedgen_client.checks.cost import cost_line, time_line  # heavy
    from fedgen_client.checks.data import study_data

    if offered.study.model.frozen or offered.study.model.given_weights:
        from fedgen_client.given_start import require_start  # heavy

        try:
            require_start(folder, offered)
        except FedgenError as error:
            yield mend(about, error)
    fits = False
    for name in cohorts:
        cohort = site.cohorts[name]
        line, found = study_data(about, name, cohort.folder, offered.study, site.policy)
        yield line
        if found is not None:
            fits = True
            yield cost_line(about, folder, name, cohort, offered.study, offered.study_sha256, found.training)
    if fits:
        yield time_line(about, offered.study, site.runtime.device)
