"""What a study means for one site: sampling rate, noise, steps and epsilon, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.families.contract import Objective
from fedgen.study.study import Study
from fedgen.training.backends import backend_for
from fedgen.training.local import LocalPlan, Mechanism, mechanism_steps
from fedgen.training.spending import calibrated, clipping_norm, history, spend_of, training_round
from fedgen_privacy.accounting import Spend, epsilon_rdp, epsilon_reported


@dataclass(frozen=True)
class SitePlan:
    """A site's part in a study.

    Attributes:
        patients: N, training patients.
        local: what the first round of the training runs.
        spend: what the first round of the training costs, None without privacy; `fedgen.training.spending` knows
            of the others.
        epsilon: of the whole study, by the accountant that is reported; None without privacy.
        epsilon_rdp: the same by RDP.
        weight: weight of the site's update in the average.
    """

    patients: int
    local: LocalPlan
    spend: Spend | None
    epsilon: float | None
    epsilon_rdp: float | None
    weight: float


def local_plan(study: Study, plan: SitePlan, round: int) -> LocalPlan:
    """What a site runs in one aggregation of the training, by the schedule of noise and clipping."""
    if plan.spend is None:
        return plan.local
    mechanism = Mechanism(
        clipping_norm(study, training_round(study, round)),
        spend_of(study, round, plan.spend).noise_multiplier,
    )
    return replace(plan.local, mechanism=mechanism)


def check_cohort(study: Study, site: str, patients: int) -> None:
    """Refuse a cohort too small for the study's batch or its delta.

    Raises:
        DataError: fewer training patients than the expected batch, or more than the weight cap.
        PrivacyRefusedError: delta is not below 1 / patients, and not allowed by name.
    """
    B = study.training.batch_patients
    # Where the sampling rate is given, it and not the batch says who is taken; a batch is then of all sites, or may be
    # larger than a small site.
    if study.privacy.sampling_rate is None and patients < B:
        raise DataError(
            f"Site {site} has {patients} training patients but training.batch_patients asks for batches of {B}: "
            f"set training.batch_patients to {max(patients, 1)} or less, or leave the site out."
        )
    aggregation = study.aggregation
    weighted = aggregation.weighting == "patients" and study.privacy.mode != "distributed"
    if aggregation.secure and weighted and patients > aggregation.weight_cap:
        raise DataError(
            f"Site {site} has {patients} training patients but aggregation.weight_cap is {aggregation.weight_cap}: "
            f"set aggregation.weight_cap to {patients} or more, or aggregation.weighting to uniform."
        )
    privacy = study.privacy
    if privacy.mode != "none" and privacy.delta * patients >= 1 and not privacy.allow_large_delta:
        raise PrivacyRefusedError(
            f"privacy.delta is {privacy.delta:g} but site {site} has {patients} training patients, and a delta of "
            f"1/{patients} or more permits publishing a whole patient: set privacy.delta below {1 / patients:.2g}, "
            "or privacy.allow_large_delta to true if that is truly meant."
        )


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


def plan_site(study: Study, site: str, patients: int, objectives: tuple[Objective, ...]) -> SitePlan:
    """The site's plan; noise is calibrated so that the whole study stays within privacy.epsilon.

    Raises:
        DataError, PrivacyRefusedError: see `check_cohort`; also if no noise reaches the target.
    """
    check_cohort(study, site, patients)
    training, privacy = study.training, study.privacy
    q = privacy.sampling_rate or training.batch_patients / patients
    steps = mechanism_steps(objectives, training.local_steps)
    mechanism = spend = epsilon = rdp = None
    if privacy.mode != "none":
        if steps == 0:
            raise DataError(
                f"training.local_steps {training.local_steps} is too small for any step on data: raise it."
            )
        spend = calibrated(study, q, steps)
        mechanism = Mechanism(privacy.clipping_norm, spend.noise_multiplier)
        whole = history(study, spend)
        epsilon, rdp = epsilon_reported(whole, privacy.delta), epsilon_rdp(whole, privacy.delta)
    local = LocalPlan(
        steps=training.local_steps,
        batch=training.batch_patients,
        sampling_rate=q,
        images=study.data.images_per_patient,
        multiplicity=privacy.multiplicity,
        chunk=training.microbatch,
        device=training.device,
        mechanism=mechanism,
        backend=backend_for(training.gradients, study.model.family, training.device),
        precision=training.precision,
    )
    averaged = study.aggregation.weighting == "patients" and privacy.mode != "distributed"
    weight = float(patients) if averaged else 1.0
    return SitePlan(patients, local, spend, epsilon, rdp, weight)
