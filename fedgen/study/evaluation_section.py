"""Section `evaluation`: what the release is compared with, and by what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.schema.section import Section


class EvaluationSection(Section):
    """Fidelity, diversity and downstream use."""

    extractors: tuple[Literal["radiomics", "random_conv"], ...] = Field(
        ("radiomics", "random_conv"),
        min_length=1,
        strict=False,
        description="feature extractors of fidelity and diversity",
    )
    seeds: int = Field(3, ge=1, description="classifier seeds of each downstream arm")
    steps: int = Field(
        200,
        ge=1,
        description="training steps of each classifier, at most; how many an arm takes is found on its own training "
        "patients, and 100 or fewer are taken as they are",
    )
    bootstrap: int = Field(1000, ge=100, description="bootstrap replicates of patients")
