"""Whether a site holds out anybody for the audit."""

from __future__ import annotations

from fedgen.errors import DataError
from fedgen.study.study import Study


def check_held_out(study: Study, site: str, patients: int, audit: int) -> None:
    """Refuse, before anything is spent, a site whose release no audit could judge.

    A site without test patients is not refused: its evaluation says what it could not measure.

    Args:
        study: names the keys that decide.
        site: its name.
        patients: of the site in all.
        audit: of them held out as the audit's non-members.

    Raises:
        DataError: there is none.
    """
    if audit == 0:
        raise DataError(
            f"Site {site} has {patients} patients and none of them is held out for the audit, without which no release "
            f"can be judged: bring at least 3 patients who share no images (data.split.audit "
            f"({study.data.split.audit:g}) is the share held out, and fewer than audit.minimum_patients "
            f"({study.audit.minimum_patients}) give the verdict INSUFFICIENT), or leave the site out."
        )
