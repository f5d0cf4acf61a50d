"""Studies as the coordinator offers them: fetched, verified and kept, for the running site."""

from __future__ import annotations

from collections.abc import Callable

from fedgen.errors import FedgenError
from fedgen_client.coordinator import Coordinator
from fedgen_client.folder import SiteFolder
from fedgen_client.kept_free import admitted, let_go_of_ended
from fedgen_client.studies import Studies

_OVER = ("done", "failed")


def fetch(folder: SiteFolder, known: Studies) -> FedgenError | None:
    """Fetch and keep what the coordinator offers; the first error where something of that failed."""
    try:
        with Coordinator.of(folder) as coordinator:
            errors = known.keep_all(coordinator.studies())
    except FedgenError as error:
        return error
    return errors[0] if errors else None


class Offers:
    """What the coordinator offers to one site.

    Args:
        folder: the site's.
        say: told in words of new studies and of manifests that are refused.
    """

    def __init__(self, folder: SiteFolder, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._known: set[str] = set()

    def refresh(self) -> None:
        """Fetch and keep what is offered; a manifest that does not verify is refused aloud, and the others are kept.

        Raises:
            FedgenError: the coordinator cannot be asked.
        """
        studies = Studies(self._folder)
        with Coordinator.of(self._folder) as coordinator:
            offered = coordinator.studies()
        for error in studies.keep_all(offered):
            self._folder.journal.write("refused", kind="manifest", reason=str(error))
            self._say(str(error))
        for study in studies.all():
            if study.study_sha256 not in self._known and study.decision is None:
                self._say(
                    f"The coordinator offers the study {study.name}: read and decide with `fedgen-client approve "
                    f"{study.name}`."
                )
            self._known.add(study.study_sha256)

    def settle(self) -> None:
        """Let others have what is kept free for studies that are over; asks nobody where nothing is kept free.

        Raises:
            FedgenError: the coordinator cannot be asked, or a file cannot be used.
        """
        if not admitted(self._folder):
            return
        with Coordinator.of(self._folder) as coordinator:
            status = coordinator.status()
        for study in let_go_of_ended(self._folder, status.studies):
            self._say(f"The study {study[:12]} is over: the budget that was kept free for it is free again.")

    def going_on(self) -> bool:
        """Whether a study of this site is offered that is not over.

        Raises:
            FedgenError: the coordinator cannot be asked.
        """
        own = {study.study_sha256 for study in Studies(self._folder).all()}
        with Coordinator.of(self._folder) as coordinator:
            status = coordinator.status()
        return any(study.study_sha256 in own and study.state not in _OVER for study in status.studies)
