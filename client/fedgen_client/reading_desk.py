"""A hospital's own readers: synthetic images of a study beside its test patients', and the one row that may leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedgen.data.prepare import prepare_site
from fedgen.data.pseudonyms import Pseudonyms
from fedgen.errors import DataError, PolicyRefusedError
from fedgen.evidence.downstream.cells import MINIMUM_PATIENTS
from fedgen.evidence.leave import leave
from fedgen.pipeline.assessment import ANSWERED
from fedgen.pipeline.kept_release import kept_release
from fedgen.pipeline.readings import reading_folder
from fedgen.reading.book import Book
from fedgen.reading.desk import Desk
from fedgen.reading.outcome import reading_row
from fedgen.reading.reading_file import ReadingFile
from fedgen.reading.sitting import sit_down
from fedgen.run.directory import RunDirectory
from fedgen_client.consent import require_consent
from fedgen_client.folder import SiteFolder
from fedgen_client.policy import withheld
from fedgen_client.site_log import fingerprint
from fedgen_client.studies import OfferedStudy


def hospital_desk(place: SiteFolder, offered: OfferedStudy, reader: str, tell: Callable[[str], None]) -> Desk:
    """A reader's sitting: nothing of it leaves this machine.

    Raises:
        PrivacyRefusedError: the study is not approved.
        DataError: the site was not asked about a release of the study yet, or its images cannot be read.
        StudyError: the pseudonym is none.
    """
    site_file = place.load_site_file()
    cohort = site_file.cohorts[require_consent(site_file, offered)]
    own = place.study(offered.study_sha256)
    question, made = kept_release(own / ANSWERED)
    prepared = prepare_site(
        offered.study,
        cohort.folder,
        place.membership().site,
        own / "data",
        place.cache,
        pseudonyms=Pseudonyms.kept_in(place.pseudonym_key),
        withdrawn=place.withdrawn,
    )
    book, picture = sit_down(reading_folder(own), question, offered.study, [prepared.data], made)

    def done() -> None:
        tell("All is read. End with Ctrl-C; `--row FILE` writes the one row that may leave.")

    return Desk(book, reader, picture, done)


def write_row(place: SiteFolder, offered: OfferedStudy, out: Path) -> None:
    """Write what may leave of a study's readings, as the policy allows, and note in the log that it was written.

    Raises:
        PolicyRefusedError: the policy withholds numbers of the evaluation, or the study asks for noised ones alone.
        PrivacyRefusedError: the study is not approved.
        DataError: no reader is done, or the file cannot be written.
    """
    site_file = place.load_site_file()
    require_consent(site_file, offered)
    if "evaluation" in withheld(site_file.policy):
        raise PolicyRefusedError(
            "policy.metrics of the site file does not list evaluation, so no number of a reading leaves: the answers "
            "stay here."
        )
    if offered.study.evidence.privacy is not None:
        raise PolicyRefusedError(
            "The study pays for its evidence with noise (evidence.privacy), so no number without noise leaves: the "
            "answers stay here."
        )
    own = place.study(offered.study_sha256)
    question, _ = kept_release(own / ANSWERED)
    folder = reading_folder(own)
    row = reading_row(Book(folder)) if (folder / "plan.json").exists() else None
    if row is None:
        raise DataError(
            "No reader is done yet: `fedgen-client read STUDY --reader NAME` goes on where each was."
        )
    found = ReadingFile(
        site=place.membership().site,
        study=offered.study_sha256,
        question=question,
        rows=leave((row,), MINIMUM_PATIENTS),
    )
    found.write(RunDirectory(out.absolute().parent), out.name)
    fields = {"kind": "reading", "study": offered.study_sha256, **fingerprint(out.read_bytes())}
    place.journal.write("written", **fields)
