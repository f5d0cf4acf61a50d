"""Section `audit`: how hard the release and its model are attacked before anybody may have them."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

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
    quantile_regression: bool = Field(
        False,
        description="also attack by the loss beyond what a regression expects of such an image, fitted on half of the "
        "held-out patients, who are then missing from its test",
    )
    reference_models: Literal[0, 2, 4, 8] = Field(
        0,
        description="models that a site trains without noise on random halves of its own training and held-out "
        "patients, to attack by what the loss is beside theirs; each takes the time of the site's whole training",
    )
    reconstruction_seconds: float = Field(
        0.0,
        ge=0,
        description="time that each of two reconstructions may take at a site: of an image from one patient's vector, "
        "and of training images from the model; 0 leaves them out",
    )
    canaries: int = Field(
        0,
        ge=0,
        le=100_000,
        description="records that each site makes up and trains on by the flip of a coin, to measure the training's "
        "epsilon from below; they spoil the model a little",
    )
    canary_share: float = Field(
        0.1,
        gt=0,
        description="most canaries, as a share of a site's training patients; above 1 for a run that is made for the "
        "audit alone",
    )
    canary_guesses: float = Field(
        0.25,
        gt=0,
        le=0.5,
        description="share of a site's canaries that are guessed to be in by the highest scores, and as many to be out "
        "by the lowest; of the rest nothing is guessed",
    )

    @property
    def canary_sides(self) -> int:
        """r, canaries of a site guessed to be in, and as many to be out: fixed before any score is seen."""
        return min(max(1, math.floor(self.canary_guesses * self.canaries)), self.canaries // 2)

    @model_validator(mode="after")
    def _guessed(self) -> Self:
        if self.canaries == 1:
            raise ValueError(
                "canaries is 1, but one is guessed to be in and another to be out: set it to 2 or more, or to 0"
            )
        return self
