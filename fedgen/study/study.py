"""The study: one coordinated training, as asked for in a YAML file."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from fedgen.study.data import DataSection
from fedgen.study.model import ModelSection
from fedgen.study.section import Section
from fedgen.study.training import (
    AggregationSection,
    AuditSection,
    EvaluationSection,
    PrivacySection,
    ReleaseSection,
    SynthesisSection,
    TrainingSection,
)


class Identity(Section):
    """What the study is called, and its seed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64, description="names the run folder")
    seed: int = Field(0, ge=0, lt=2**31, description="fixes split, initial weights, synthesis and evaluation")
    description: str = Field("", description="one or two sentences for the report")


class Study(Section):
    """A whole study file, every default filled in."""

    study: Identity
    data: DataSection = Field(default_factory=lambda: DataSection())
    model: ModelSection = Field(default_factory=lambda: ModelSection())
    training: TrainingSection = Field(default_factory=lambda: TrainingSection())
    privacy: PrivacySection = Field(default_factory=lambda: PrivacySection())
    aggregation: AggregationSection = Field(default_factory=lambda: AggregationSection())
    synthesis: SynthesisSection = Field(default_factory=lambda: SynthesisSection())
    audit: AuditSection = Field(default_factory=lambda: AuditSection())
    evaluation: EvaluationSection = Field(default_factory=lambda: EvaluationSection())
    release: ReleaseSection = Field(default_factory=lambda: ReleaseSection())

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.aggregation.secure and self.aggregation.minimum_sites < 3:
            raise ValueError(
                "aggregation.minimum_sites must be 3 or more where aggregation.secure is on, because from the sum of "
                "two updates each of the two sites knows the other's"
            )
        if self.privacy.mode == "distributed":
            raise ValueError(
                "privacy.mode distributed is not part of this version: use local, which holds against everybody"
            )
        unknown = set(self.synthesis.balance or ()) - set(self.data.labels)
        if unknown:
            raise ValueError(
                f"synthesis.balance names {', '.join(sorted(unknown))}, which data.labels does not list"
            )
        return self
