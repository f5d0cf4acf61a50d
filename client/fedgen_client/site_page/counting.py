"""What a study would cost exactly, on this site's own patients: the very lines of `fedgen-client check`."""

from __future__ import annotations

from fedgen_client.checks.line import CheckLine
from fedgen_client.checks.run import work_lines
from fedgen_client.folder import SiteFolder
from fedgen_client.studies import OfferedStudy


def count(folder: SiteFolder, offered: OfferedStudy, cohort: str) -> tuple[CheckLine, ...]:
    """Patients, epsilon and time of a study for one cohort; nothing is spent, and steps are timed on noise.

    Raises:
        StudyError: the site file is not valid.
    """
    site_file = folder.load_site_file()
    return tuple(work_lines(folder, site_file, offered, offered.name, [cohort]))
