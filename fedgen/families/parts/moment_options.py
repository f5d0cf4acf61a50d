"""Options of a patient's vector of moments."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section


class MomentOptions(Section):
    """How the norm of a patient's vector is shared out, and to what norm a point is clipped.

    The three weights are scaled to a norm of 1: what has more weight gets less noise. They and the radius are to be
    chosen on public images, never on a study's patients.
    """

    radius: float = Field(
        1.0,
        gt=0,
        description="R: latents are clipped to the norm R sqrt(d), in standard deviations of the prior",
    )
    mean_weight: float = Field(0.7, gt=0, description="a1, of the classes' mean latents")
    share_weight: float = Field(0.3, gt=0, description="a2, of the classes' shares")
    moment_weight: float = Field(
        0.0,
        ge=0,
        description="a3, of the second moments; 0 leaves them out, and the covariance is that of public images",
    )
    class_covariances: bool = Field(
        False,
        description="second moments of each class, and so a covariance of its own: for large cohorts",
    )

    @model_validator(mode="after")
    def _second_moments_of_classes(self) -> Self:
        if self.class_covariances and not self.moment_weight:
            raise ValueError(
                "class_covariances are made of second moments: give moment_weight above 0, such as 0.65"
            )
        return self
