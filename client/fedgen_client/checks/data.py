"""The images of a cohort as a study would read them: patients, images, files that cannot be used, the smallest cohort.

Heavy: the readers of images load what they need, so import it where it is used.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fedgen.data.build import build_index
from fedgen.data.findings import plural
from fedgen.data.held_out import check_held_out
from fedgen.data.inspect.as_it_lies import open_folder
from fedgen.data.people import one_person
from fedgen.data.site_data import Part
from fedgen.data.split import split_patients
from fedgen.data.ties import connected
from fedgen.errors import DataError, ExitCode, FedgenError
from fedgen.study.study import Study
from fedgen_client.checks.line import CheckLine, mend
from fedgen_client.policy import cohort_problems
from fedgen_client.site_file import PolicySection


@dataclass(frozen=True)
class Usable:
    """What of a cohort a study can use.

    Attributes:
        patients: all of them.
        training: those that would train; patients who turn out to share images may still move a few.
        audit: likewise, those held out for the audit.
        images: 2D images, slices of volumes counted each.
    """

    patients: int
    training: int
    audit: int
    images: int


def usable(folder: Path, study: Study) -> Usable:
    """Index the folder as the study asks and split its patients.

    Raises:
        DataError: see `fedgen.data.build.build_index`.
    """
    index = build_index(folder, study.data)
    together = connected([(group[0], other) for group in one_person(index.entries) for other in group[1:]])
    parts = split_patients(index, study.data.split, study.study.seed, together=together)
    count = Counter(parts.values())
    return Usable(len(index.patients), count[Part.TRAIN], count[Part.AUDIT], index.n_images)


def cohort_line(name: str, folder: Path, policy: PolicySection) -> CheckLine:
    """The cohort as it lies there, whatever a study may ask of it."""
    about = f"cohort {name}"
    try:
        scan = open_folder(folder).scan
    except FedgenError as error:
        return mend(about, error)
    patients = len({entry.patient for entry in scan.entries})
    images = sum(entry.n_images for entry in scan.entries)
    text = f"{folder} ({scan.layout}): {plural(patients, 'patient')}, {plural(images, 'image')}"
    if scan.problems:
        first = scan.problems[0].sentence
        return CheckLine(
            about,
            f"{text}, {plural(len(scan.problems), 'unreadable file')} ({first}): correct or remove them.",
            ExitCode.DATA,
        )
    if patients < policy.minimum_cohort:
        return CheckLine(
            about,
            f"{text}, fewer than policy.minimum_cohort {policy.minimum_cohort}: no study can take part.",
            ExitCode.REFUSED,
        )
    return CheckLine(about, f"{text}, no unreadable file.")


def study_data(
    about: str, name: str, folder: Path, study: Study, policy: PolicySection
) -> tuple[CheckLine, Usable | None]:
    """Cohort `name` as one study would read it, and its numbers where the study can have them."""
    try:
        found = usable(folder, study)
        check_held_out(study, name, found.patients, found.audit)
    except DataError as error:
        return mend(about, error), None
    problems = cohort_problems(policy, found.training)
    if problems:
        return CheckLine(about, " ".join(problems), ExitCode.REFUSED), None
    return CheckLine(
        about,
        f"{plural(found.patients, 'patient')} with {plural(found.images, 'image')}; {found.training} patients train.",
    ), found
