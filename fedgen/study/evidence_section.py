"""Section `evidence`: whether audit and evaluation are told with noise, and what of epsilon that may cost."""

from __future__ import annotations

from pydantic import Field

from fedgen.schema.section import Section


class NoisedEvidence(Section):
    """Noised sums instead of numbers: nothing else of audit and evaluation leaves a site.

    What they cost a patient is part of privacy.epsilon, which leaves the training less.
    """

    epsilon: float = Field(
        1.0,
        gt=0,
        description="epsilon of what audit and evaluation together tell of each patient, taken out of "
        "privacy.epsilon and so below it",
    )


class EvidenceSection(Section):
    """How audit and evaluation are told."""

    privacy: NoisedEvidence | None = Field(
        None,
        description="pays for audit and evaluation with noise; where not given, their numbers are without noise and no "
        "epsilon covers them",
    )
