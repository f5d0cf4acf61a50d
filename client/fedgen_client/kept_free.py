"""Budget that was kept free for a study and is no longer: it was denied, is over, or is not offered any more.

Light: what is released is a file beside the ledger, and no row of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fedgen.protocol.enrolment import StudyStatus
from fedgen.run.atomic import unwritable
from fedgen_client.folder import SiteFolder
from fedgen_privacy.reservations import release, reservations_of

#: States of a study that takes no further step unless somebody resumes it, which admits it anew.
_OVER = ("done", "failed")


def let_go(folder: SiteFolder, study_sha256: str, why: str, *, but: str | None = None) -> list[str]:
    """Release what every cohort keeps free for a study; the cohorts in which there was something.

    Args:
        folder: the site's.
        study_sha256: of the study.
        why: for the site's log.
        but: a cohort that goes on.

    Raises:
        PrivacyRefusedError, LockedError, DataError: as `fedgen_privacy.reservations.release`.
    """
    found = []
    for ledger in _ledgers(folder):
        if ledger.stem == but:
            continue
        try:
            released = release(ledger, study_sha256)
        except OSError as error:
            raise unwritable(ledger, error) from error
        if released:
            found.append(ledger.stem)
            folder.journal.write("released", study=study_sha256, cohort=ledger.stem, reason=why)
    return found


def admitted(folder: SiteFolder) -> set[str]:
    """Hashes of the studies for which some cohort keeps budget free.

    Raises:
        PrivacyRefusedError, DataError: a file is damaged or cannot be read.
    """
    return {study for ledger in _ledgers(folder) for study in _reserved(ledger)}


def let_go_of_ended(folder: SiteFolder, offered: Iterable[StudyStatus]) -> list[str]:
    """Release what is kept free for studies that the coordinator says are over, or does not offer any more.

    Its word costs no privacy: a study that goes on all the same is admitted anew, or refused.

    Raises:
        PrivacyRefusedError, LockedError, DataError: as `let_go`.
    """
    going_on = {study.study_sha256 for study in offered if study.state not in _OVER}
    gone = sorted(admitted(folder) - going_on)
    for study in gone:
        let_go(folder, study, "the coordinator says that it is over, or offers it no more")
    return gone


def _ledgers(folder: SiteFolder) -> list[Path]:
    suffix = ".reserved"
    return sorted(
        path.with_name(path.name.removesuffix(suffix)) for path in folder.ledgers.glob(f"*.jsonl{suffix}")
    )


def _reserved(ledger: Path) -> Iterable[str]:
    try:
        return reservations_of(ledger)
    except OSError as error:
        raise unwritable(ledger, error) from error
