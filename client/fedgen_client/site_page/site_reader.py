"""What the page shows, read from the site's folder whenever somebody looks.

Light until then: what loads torch is imported where it is used, so that the links are printed at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from fedgen.errors import FedgenError
from fedgen.protocol.spoken_key import spoken_key
from fedgen.run.lock import is_held
from fedgen_client.consent import choose_cohort
from fedgen_client.deciding import consider
from fedgen_client.folder import SiteFolder
from fedgen_client.plain import printable
from fedgen_client.site_file import SiteFile
from fedgen_client.site_page.coordinator_watch import Heard
from fedgen_client.site_page.passages import passage, traffic
from fedgen_client.site_page.site_state import BudgetGauge, OfferShown, SiteLogShown, SiteShown, StudyShown
from fedgen_client.standing import decided, standing
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
        self._gauges: dict[str, tuple[str, BudgetGauge]] = {}

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
        return SiteShown(
            site=membership.site,
            federation=membership.federation,
            coordinator=membership.address,
            key=spoken_key(key),
            running=self._running(),
            asked=self._asked(),
            offers=tuple(self._offer(site_file, each) for each in offered),
            gauges=tuple(
                self._gauge(name, site_file, names) for name in every_cohort(self.folder, site_file.cohorts)
            ),
            log=self.log(names, FEW),
            problem=problem,
        )

    def study(self, sha256: str, cohort: str | None = None) -> StudyShown | None:
        """A study's page for one cohort, or None where no such study is here.

        Raises:
            StudyError: there is no such cohort.
            FedgenError: a file cannot be used; see `deciding.consider`.
        """
        from fedgen_client.site_page.gauges import addition  # loads torch

        offered = Studies(self.folder).get(sha256)
        if offered is None:
            return None
        site_file = self.folder.load_site_file()
        decision = offered.decision
        wanted = (
            cohort or (decision.cohort if decision is not None else None) or next(iter(site_file.cohorts))
        )
        chosen = choose_cohort(site_file, wanted)
        considered = consider(self.folder, site_file, offered, chosen)
        shown = self._gauge(chosen, site_file, {sha256: offered.name})
        return StudyShown(
            offer=self._offer(site_file, offered),
            cohort=chosen,
            cohorts=tuple(site_file.cohorts),
            paragraphs=tuple(considered.paragraphs),
            problems=tuple(considered.problems),
            gauge=shown,
            addition=addition(shown, offered.study, sha256),
            needs=self._needs(offered),
        )

    def log(
        self, names: Mapping[str, str] | None = None, most: int = MANY, before: int | None = None
    ) -> SiteLogShown:
        """The log, its chain verified.

        Args:
            names: study hash to name; read from the folder where None.
            most: lines shown.
            before: only lines with a smaller number.

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
        return SiteLogShown(
            lines=len(passages),
            broken=found.broken,
            traffic=traffic(passages),
            latest=tuple(reversed(wanted[-most:])),
        )

    def _offered(self) -> tuple[list[OfferedStudy], str | None]:
        try:
            return Studies(self.folder).all(), None
        except FedgenError as error:
            # Budget and log are shown all the same.
            return [], str(error)

    def _offer(self, site_file: SiteFile, offered: OfferedStudy) -> OfferShown:
        study, found = offered.study, standing(site_file, offered)
        why = found.why.removeprefix("forbidden by policy: ")
        said = why or ("" if found.decision is None else decided(found.decision))
        if found.state == "offered" and offered.lapsed is not None:
            said = "What was decided before was about another manifest of it."
        cohort = (
            ""
            if found.decision is None or found.decision.cohort is None
            else f"cohort {found.decision.cohort}, "
        )
        rounds = "one sum over all patients" if study.total_rounds == 1 else f"{study.total_rounds} rounds"
        return OfferShown(
            name=printable(offered.name),
            study=offered.study_sha256,
            manifest=offered.manifest_sha256,
            about=f"{study.model.family}, {rounds}, {offered.roster_size} sites",
            epsilon=study.privacy.epsilon if study.privacy.private else None,
            delta=study.privacy.delta,
            signed=offered.manifest.created,
            state=found.state,
            said=printable(f"{cohort if found.state == 'approved' else ''}{said}"),
            progress=self._progress(offered),
        )

    def _progress(self, offered: OfferedStudy) -> str:
        status = self._heard().progress.get(offered.study_sha256)
        if status is None or status.state == "offered":
            return ""
        done = f"{status.round} of {status.rounds} rounds done" if status.round else "no round done yet"
        return f"{status.state}{f', {done}' if status.state == 'running' else ''}, says the coordinator"

    def _needs(self, offered: OfferedStudy) -> str:
        from fedgen_client.given_start import require_start  # loads torch

        try:
            require_start(offered, self.folder.pretrained(offered.study_sha256))
        except FedgenError as error:
            return str(error)
        return ""

    def _gauge(self, cohort: str, site_file: SiteFile, names: Mapping[str, str]) -> BudgetGauge:
        from fedgen_client.site_page.gauges import gauge  # loads torch

        # Adding up takes a second, and a page is looked at again and again: what was read from the very same bytes,
        # for the same section of the site file, is not added up anew.
        ledger, section = self.folder.ledger(cohort), site_file.cohorts.get(cohort)
        digest = hashlib.sha256(repr((section, sorted(names.items()))).encode())
        for path in sorted(ledger.parent.glob(f"{ledger.name}*")):
            if not path.name.endswith(".lock"):
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        known = self._gauges.get(cohort)
        if known is None or known[0] != digest.hexdigest():
            known = (digest.hexdigest(), gauge(self.folder, cohort, section, names))
            self._gauges[cohort] = known
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
