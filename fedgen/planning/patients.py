"""How many patients each site will train on, before any data is opened."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen.errors import StudyError
from fedgen.study.study import Study


def training_patients(study: Study, given: Sequence[int], *, phantom: bool = True) -> tuple[int, ...]:
    """Training patients of each site: those given, else those of the study's phantom, else what its sampling rate says.

    Of a phantom hospital's patients the share 1 - audit - test trains. Patients are dealt class by class, so a
    run may have a patient more or fewer. In mode distributed `training.batch_patients / privacy.sampling_rate` is the
    public number of all patients, which is taken for `aggregation.minimum_sites` sites alike.

    Args:
        study: the resolved study.
        given: one number of training patients a site; empty to take the study's own.
        phantom: whether its phantom is what will be trained on.

    Raises:
        StudyError: nothing is given and the study does not say.
    """
    if given:
        return tuple(given)
    found, split = study.data.phantom, study.data.split
    if found is not None and phantom:
        return (round(found.patients * (1 - split.audit - split.test)),) * found.sites
    total = study.public_patients
    if total is not None:
        sites = study.aggregation.minimum_sites
        return tuple((total + i) // sites for i in range(sites))
    raise StudyError(
        f"Study {study.study.name} does not say how many patients its sites have: give each site's number of "
        "training patients, such as --patients 45 --patients 12."
    )
