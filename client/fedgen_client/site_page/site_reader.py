"""What the page shows, read from the site's folder whenever somebody looks.

Light until then: what loads torch is imported where it is used, so that the links are printed at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from fedgen.errors import FedgenError
from fedgen.protocol.spoken_key import spoken_key
from fedgen.run.lock import is_held
from fedgen_client.consent import choose_cohort
from fedgen_client.deciding import consider
from fedgen_client.folder import SiteFolder
from fedgen_client.given_files import GivenFile, WantedFile, find_given, given_files, wanted_files
from fedgen_client.plain import printable
from fedgen_client.site_facts import CohortFacts, StudyFacts, cohort_facts, study_facts, study_names
from fedgen_client.site_file import SiteFile
from fedgen_client.site_page.added_cost import addition
from fedgen_client.site_page.coordinator_watch import Heard
from fedgen_client.site_page.passages import drawn_together, passage, traffic
from fedgen_client.site_page.site_state import (
    GivenShown,
    OfferShown,
    SiteLogShown,
    SiteShown,
    StudyShown,
    WantedShown,
)
from fedgen_client.standing import decided
from fedgen_client.studies import OfferedStudy, Studies

#: Lines of the log on the first page, and on a page of it.
FEW, MANY = 12, 200
_RUNNING: Mapping[str, str] = {
    "waiting": "connected, waiting for work",
    "working": "at work",
    "idle": "connected, waiting for work",
    "unreachable": "the coordinator does not answer",
}


class SiteReader:
    """Reads one site's folder for its page.

    Args:
        folder: of a site that has joined.
        heard: what the coordinator said last.
    """

    def __init__(self, folder: SiteFolder, heard: Callable[[], Heard]) -> None:
        self.folder, self._heard = folder, heard
        self._cohorts: dict[str, tuple[str, CohortFacts]] = {}

    def site(self) -> SiteShown:
        """The first page.

        Raises:
            StudyError: the site file is not valid.
            FederationError, DataError, PrivacyRefusedError: the membership or key cannot be used.
        """
        from fedgen_client.books import every_cohort  # loads torch

        site_file, membership = self.folder.load_site_file(), self.folder.membership()
        key = self.folder.identity(membership.site).public_key
        offered, problem = self._offered()
        names = {each.study_sha256: each.name for each in offered}
        cohorts = {
            name: self._cohort(name, site_file, names)
            for name in every_cohort(self.folder, site_file.cohorts)
        }
        return SiteShown(
            site=membership.site,
            federation=membership.federation,
            coordinator=membership.address,
            key=spoken_key(key),
            running=self._running(),
            asked=self._asked(),
            offers=tuple(self._offer(site_file, each, cohorts) for each in offered),
            cohorts=tuple(cohorts.values()),
            log=self.log(names, FEW, steps=False),
            problem=problem,
        )

    def waiting(self) -> tuple[str, ...]:
        """Hashes of the studies of which nobody has decided."""
        return tuple(each.study_sha256 for each in self._offered()[0] if each.decision is None)

    def study(self, sha256: str, cohort: str | None = None) -> StudyShown | None:
        """A study's page for one cohort, or None where no such study is here.

        Raises:
            StudyError: there is no such cohort.
            FedgenError: a file cannot be used; see `deciding.consider`.
        """
        offered = Studies(self.folder).get(sha256)
        if offered is None:
            return None
        site_file = self.folder.load_site_file()
        approved = None if offered.decision is None else offered.decision.cohort
        # One that the site file no longer has cannot be read for; the study's standing says so.
        usual = approved if approved in site_file.cohorts else next(iter(site_file.cohorts))
        chosen = choose_cohort(site_file, cohort or usual)
        considered = consider(self.folder, site_file, offered, chosen)
        budget = self._cohort(chosen, site_file, study_names(self.folder))
        offer = self._offer(site_file, offered, {chosen: budget})
        wanted = wanted_files(self.folder, offered)
        lying = given_files(self.folder) if any(not file.kept.is_file() for file in wanted) else ()
        return StudyShown(
            offer=offer,
            cohort=chosen,
            cohorts=tuple(site_file.cohorts),
            paragraphs=tuple(considered.paragraphs),
            problems=tuple(considered.problems),
            budget=budget,
            addition=addition(budget, offer.facts),
            running=self._running(),
            wanted=tuple(_wanted(file, lying) for file in wanted),
            given=tuple(_given(each) for each in lying),
            given_folder=str(self.folder.given),
        )

    def log(
        self,
        names: Mapping[str, str] | None = None,
        most: int = MANY,
        before: int | None = None,
        *,
        steps: bool = True,
    ) -> SiteLogShown:
        """The log, its chain verified.

        Args:
            names: study hash to name; read from the folder where None.
            most: lines shown.
            before: only lines with a smaller number.
            steps: whether with the steps of secure aggregation, of which a round has a dozen, and with lines that
                say what a later one says again.

        Raises:
            DataError: it cannot be read.
        """
        if names is None:
            names = {each.study_sha256: each.name for each in self._offered()[0]}
        found = self.folder.journal.verify()
        passages = [
            passage(entry, number, names) for number, entry in enumerate(self.folder.journal.entries(), 1)
        ]
        wanted = [each for each in passages if before is None or each.number < before]
        latest = tuple(reversed(wanted[-most:])) if steps else drawn_together(wanted, most)
        since = latest[-1].number if latest else 0
        return SiteLogShown(
            lines=len(passages),
            broken=found.broken,
            traffic=traffic(passages),
            latest=latest,
            passed_over=0 if steps else sum(each.step for each in passages[since:]),
        )

    def _offered(self) -> tuple[list[OfferedStudy], str | None]:
        try:
            return Studies(self.folder).all(), None
        except FedgenError as error:
            # Budget and log are shown all the same.
            return [], str(error)

    def _offer(
        self, site_file: SiteFile, offered: OfferedStudy, cohorts: Mapping[str, CohortFacts]
    ) -> OfferShown:
        facts, decision = study_facts(site_file, offered), offered.decision
        said = facts.why.removeprefix("forbidden by policy: ")
        if not said and decision is not None:
            said = decided(decision)
        if facts.state == "offered" and offered.lapsed is not None:
            said = "What was decided before was about another manifest of it."
        cohort = f"cohort {facts.cohort}, " if facts.state == "approved" else ""
        rounds = "one sum over all patients" if facts.rounds == 1 else f"{facts.rounds} rounds"
        return OfferShown(
            facts=facts.model_copy(update={"name": printable(facts.name)}),
            manifest=offered.manifest_sha256,
            about=f"{facts.family}, {rounds}, {facts.sites} sites",
            said=printable(f"{cohort}{said}"),
            progress=self._progress(facts, cohorts),
        )

    def _progress(self, facts: StudyFacts, cohorts: Mapping[str, CohortFacts]) -> str:
        said = []
        spent = next((found for each in cohorts.values() if (found := each.of(facts.study))), None)
        if spent is not None and spent.rounds:
            said.append(f"{spent.rounds} of {facts.rounds} rounds charged here")
        status = self._heard().progress.get(facts.study)
        if status is not None and status.state != "offered":
            done = f", {status.round} of {status.rounds} rounds done" if status.round else ""
            going = done if status.state in ("running", "interrupted") else ""
            said.append(f"{status.state}{going}, says the coordinator")
        return "; ".join(said)

    def _cohort(self, cohort: str, site_file: SiteFile, names: Mapping[str, str]) -> CohortFacts:
        # Adding up takes a second, and a page is looked at again and again: what was read from the very same bytes,
        # for the same section of the site file, is not added up anew.
        ledger, section = self.folder.ledger(cohort), site_file.cohorts.get(cohort)
        digest = hashlib.sha256(repr((section, sorted(names.items()))).encode())
        for path in sorted(ledger.parent.glob(f"{ledger.name}*")):
            if not path.name.endswith(".lock"):
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        known = self._cohorts.get(cohort)
        if known is None or known[0] != digest.hexdigest():
            known = (digest.hexdigest(), cohort_facts(self.folder, cohort, section, names)[0])
            self._cohorts[cohort] = known
        return known[1]

    def _running(self) -> str:
        try:
            if not is_held(self.folder.lock):
                return "not running: `fedgen-client start` takes part in what is approved"
            state = str(json.loads(self.folder.status.read_bytes())["state"])
        except (OSError, ValueError, KeyError, TypeError, FedgenError):
            state = ""
        return _RUNNING.get(state, "running")

    def _asked(self) -> str:
        heard = self._heard()
        if heard.time is None:
            return "The coordinator is being asked."
        if heard.error is not None:
            return printable(heard.error, 400)
        return f"Asked at {heard.time:%H:%M:%S} UTC."


def _wanted(file: WantedFile, lying: Sequence[GivenFile]) -> WantedShown:
    found = find_given(lying, file.sha256)
    where = "kept" if file.kept.is_file() else None if found is None else printable(found.name)
    return WantedShown(
        what=printable(file.what), sha256=file.sha256, source=printable(file.source, 2000), where=where
    )


def _given(file: GivenFile) -> GivenShown:
    name = printable(file.path.name, 120)
    return GivenShown(name=name, size=file.size, sha256=file.sha256, why_not=file.why_not)
