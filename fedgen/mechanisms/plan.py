"""What a study means for one site: sampling rate, noise, steps and epsilon, before anything is spent."""

from __future__ import annotations

from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.mechanisms.contract import Ingredients, SitePlan
from fedgen.mechanisms.schedule import Turns
from fedgen.training.backends import backend_for
from fedgen.training.local import Gaussian, LocalPlan
from fedgen_privacy.accounting import epsilon_rdp, epsilon_reported


def check_cohort(
    of: Ingredients, patients: int, site: str, *, weighted: bool, private: bool, batches: bool = True
) -> None:
    """Refuse a cohort too small for the study's batch or its delta.

    Args:
        of: what the study asks for.
        patients: training patients of the site.
        site: its name.
        weighted: whether the site's weight is the number of its patients.
        private: whether anything is promised to them.
        batches: whether they are read in batches, or all at once.

    Raises:
        DataError: fewer training patients than the expected batch, or more than the weight cap.
        PrivacyRefusedError: delta is not below 1 / patients, and not allowed by name.
    """
    B = of.training.batch_patients
    # Where the sampling rate is given, it and not the batch says who is taken; a batch is then of all sites, or may be
    # larger than a small site.
    if batches and of.privacy.sampling_rate is None and patients < B:
        raise DataError(
            f"Site {site} has {patients} training patients but training.batch_patients asks for batches of {B}: "
            f"set training.batch_patients to {max(patients, 1)} or less, or leave the site out."
        )
    aggregation = of.aggregation
    if aggregation.secure and weighted and patients > aggregation.weight_cap:
        raise DataError(
            f"Site {site} has {patients} training patients but aggregation.weight_cap is {aggregation.weight_cap}: "
            f"set aggregation.weight_cap to {patients} or more, or aggregation.weighting to uniform."
        )
    privacy = of.privacy
    if private and privacy.delta * patients >= 1 and not privacy.allow_large_delta:
        raise PrivacyRefusedError(
            f"privacy.delta is {privacy.delta:g} but site {site} has {patients} training patients, and a delta of "
            f"1/{patients} or more permits publishing a whole patient: set privacy.delta below {1 / patients:.2g}, "
            "or privacy.allow_large_delta to true if that is truly meant."
        )


def plan_site(
    of: Ingredients, turns: Turns, patients: int, *, weighted: bool, private: bool, device: str | None
) -> SitePlan:
    """The plan of a site whose cohort was checked; noise is calibrated so that the study stays within its epsilon.

    Args:
        of: what the study asks for.
        turns: its aggregations.
        patients: training patients of the site.
        weighted: whether the site's weight is the number of its patients.
        private: whether there is noise.
        device: torch device instead of the study's.

    Raises:
        DataError: no patient would ever be read.
        PrivacyRefusedError: no noise reaches the target.
    """
    training, privacy = of.training, of.privacy
    q = turns.sampling_rate(privacy.sampling_rate or training.batch_patients / max(patients, 1))
    noise = spend = epsilon = rdp = None
    if private:
        if turns.steps == 0:
            raise DataError(
                f"training.local_steps {training.local_steps} is too small for any step on data: raise it."
            )
        spend = turns.calibrated(q)
        noise = Gaussian(privacy.clipping_norm, spend.noise_multiplier)
        whole = turns.history(spend)
        epsilon, rdp = epsilon_reported(whole, privacy.delta), epsilon_rdp(whole, privacy.delta)
    device = device or training.device
    local = LocalPlan(
        steps=training.local_steps,
        batch=training.batch_patients if turns.gradients else patients,
        sampling_rate=q,
        images=of.images_per_patient,
        multiplicity=privacy.multiplicity,
        chunk=training.microbatch,
        device=device,
        mechanism=noise,
        backend=backend_for(training.gradients, of.family, device),
        precision=training.precision,
    )
    return SitePlan(patients, local, spend, epsilon, rdp, float(patients) if weighted else 1.0)
