"""The noise that the sites of a study make together, derived by each of them and by the coordinator from the study."""

from __future__ import annotations

from fedgen.study.study import Study
from fedgen.training import central_images, distributed
from fedgen.training.spending import calibrated, spend_of
from fedgen_privacy.distributed import NoiseShare
from fedgen_privacy.secagg import Parameters


def round_share(study: Study, secure: Parameters, sites: int, round: int) -> NoiseShare:
    """Every site's share in one aggregation of mode distributed.

    Args:
        study: in mode distributed.
        secure: parameters of its secure aggregation.
        sites: n, of the roster.
        round: of the aggregation, from 1.

    Raises:
        StudyError: no honest noise would be left, or the ring has no room.
        PrivacyRefusedError: no noise keeps the study within its epsilon.
    """
    if study.is_warm_start(round):
        return central_images.share_of(study, secure, sites)
    assert study.privacy.sampling_rate is not None
    base = calibrated(study, study.privacy.sampling_rate, 1)
    sigma = spend_of(study, round, base).noise_multiplier
    return distributed.share_of(study, secure, sites, sigma, round)
