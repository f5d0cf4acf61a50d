"""How many patients each site will train on, before any data is opened."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen.errors import StudyError
from fedgen.study.study import Study


def training_patients(study: Study, given: Sequence[int]) -> tuple[int, ...]:
    """Training patients of each site: those given, else those of the study's phantom.

    Of a phantom hospital's patients the share 1 - audit - test trains. Patients are dealt class by class, so a
    run may have a patient more or fewer.

    Args:
        study: the resolved study.
        given: one number of training patients a site; empty to take the phantom's.

    Raises:
        StudyError: nothing is given and the study makes no data of its own.
    """
    if given:
        return tuple(given)
    phantom, split = study.data.phantom, study.data.split
    if phantom is None:
        raise StudyError(
            f"Study {study.study.name} does not say how many patients its sites have: give each site's number of "
            "training patients, such as --patients 45 --patients 12."
        )
    return (round(phantom.patients * (1 - split.audit - split.test)),) * phantom.sites
