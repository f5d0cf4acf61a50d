"""What `fedgen privacy plan --json` prints, as a typed object that loads nothing which plans."""

from __future__ import annotations

from typing import Literal

from fedgen.schema.section import Section


class PlannedSignal(Section):
    """Upper bounds of signal to noise of what is noised together.

    Attributes:
        objective: its name in the family, or theirs.
        parameters: P, the coordinates that are noised.
        steps: private steps of it in the whole study.
        one_step: B / (sigma sqrt(P)).
        all_steps: over all of them.
        all_sites: over all sites, were all like this one.
    """

    objective: str
    parameters: int
    steps: int
    one_step: float
    all_steps: float
    all_sites: float


class PlannedCohort(Section):
    """Patients that would reach the reference at the same sampling rate.

    Attributes:
        patients: how many.
        batch: of them.
        delta: assumed there.
    """

    patients: int
    batch: int
    delta: float


class PlannedSize(Section):
    """One size of site, or all sites together where their noise is made together.

    Attributes:
        sites: of this size.
        patients: in training.
        batch_patients: expected in a batch.
        sampling_rate: q.
        noise_multiplier: sigma.
        steps_per_round, steps: private steps.
        epsilon: after the last round.
        epsilon_rdp: the same by RDP, which composes over studies.
        epsilon_by_round: after each.
        signal_to_noise: one a group of what is noised together.
        reaches_reference: whether the weakest has the reference's ratio.
        needed_batch: that would reach it with these patients; null where there is none.
        needed_cohort: that would reach it; null where there is none.
    """

    sites: int
    patients: int
    batch_patients: int
    sampling_rate: float
    noise_multiplier: float
    steps_per_round: int
    steps: int
    epsilon: float
    epsilon_rdp: float
    epsilon_by_round: tuple[float, ...]
    signal_to_noise: tuple[PlannedSignal, ...]
    reaches_reference: bool
    needed_batch: int | None
    needed_cohort: PlannedCohort | None


class PlannedReference(Section):
    """A published private training, for comparison.

    Attributes:
        recipe: which, in words.
        patients: its records.
        batch_patients, sampling_rate, noise_multiplier, epsilon: its own.
        signal_to_noise: by the same rule.
    """

    recipe: str
    patients: int
    batch_patients: int
    sampling_rate: float
    noise_multiplier: float
    epsilon: float
    signal_to_noise: PlannedSignal


class PlannedEvidence(Section):
    """What of epsilon pays for audit and evaluation.

    Attributes:
        epsilon: of them alone, for every patient of a site.
        epsilon_training: of the training alone, the largest of all sites.
        noise_multiplier: sigma of a site's sum.
    """

    epsilon: float
    epsilon_training: float
    noise_multiplier: float


class PlannedLeg(Section):
    """One training of a means.

    Attributes:
        family: that is trained.
        start: what its weights start from.
        epsilon: of it.
        noise: smallest and largest noise multiplier of the sites.
        parameters: numbers that are noised.
        signal: upper bound of signal to noise over all steps and sites.
        rounds: aggregations.
        bytes: that one site sends and receives; null where so few sites could not start.
    """

    family: str
    start: Literal["random", "pretrained", "samples"]
    epsilon: float
    noise: tuple[float, float]
    parameters: int
    signal: float
    rounds: int
    bytes: int | None


class PlannedMeans(Section):
    """One means for the same patients, epsilon, delta and mode.

    Attributes:
        kind: one sum, steps of DP-SGD, or the sum and then steps.
        families: of its legs.
        legs: what it consists of, in order; none where it cannot be had.
        epsilon: of both legs for a patient who is in both; null for fewer than two.
        why_not: why it cannot be had; null where it can.
    """

    kind: Literal["sum", "sum then steps", "steps"]
    families: tuple[str, ...]
    legs: tuple[PlannedLeg, ...]
    epsilon: float | None
    why_not: str | None


class RecommendedMeans(Section):
    """The means to take.

    Attributes:
        kind, families: as of `alternatives`.
    """

    kind: Literal["sum", "sum then steps", "steps"]
    families: tuple[str, ...]


class PlannedStudy(Section):
    """What a study's protection costs, and what can be hoped for.

    Attributes:
        study, family: names.
        unit: that is protected.
        target_epsilon, delta: asked for.
        accountant: by which epsilon is computed.
        rounds: of training.
        sites: that take part.
        minimum_sites: of a round.
        evidence: what audit and evaluation cost; null where they are not paid for.
        sizes: one a size of site.
        reference: a published private training.
        sentences: what the numbers mean.
        alternatives: other means, in the order of the table.
        recommended: of them; null where none can be had.
        reason: why that one.
        rule: by which it is chosen.
        mode_cost: what the other mode would cost, in a sentence; null where there is none to compare with.
    """

    study: str
    family: str
    unit: str
    target_epsilon: float
    delta: float
    accountant: str
    rounds: int
    sites: int
    minimum_sites: int
    evidence: PlannedEvidence | None
    sizes: tuple[PlannedSize, ...]
    reference: PlannedReference
    sentences: tuple[str, ...]
    alternatives: tuple[PlannedMeans, ...]
    recommended: RecommendedMeans | None
    reason: str
    rule: str
    mode_cost: str | None
