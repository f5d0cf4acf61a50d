"""Section `audit`: how hard the release and its model are attacked before anybody may have them."""

from __future__ import annotations

from pydantic import Field

from fedgen.schema.section import Section


class AuditSection(Section):
    """Memorization audits."""

    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="significance level of every test and interval (1 - confidence)"
    )
    minimum_patients: int = Field(
        10, ge=2, description="fewer held-out or training patients than this give the verdict INSUFFICIENT"
    )
    tolerance: float = Field(
        5.0,
        ge=1,
        description="without DP: FAIL where the TPR's lower limit is above this multiple of the FPR's upper limit",
    )
    bootstrap: int = Field(1000, ge=100, description="bootstrap replicates and permutations of patients")
