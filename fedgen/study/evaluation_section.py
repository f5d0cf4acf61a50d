"""Section `evaluation`: what the release is compared with, and by what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedgen.extractors.network_weights import NetworkWeights
from fedgen.extractors.registry import ExtractorName
from fedgen.schema.section import Section
from fedgen.study.perceptual_section import PerceptualSection
from fedgen.study.reading_section import ReadingSection


class EvaluationSection(Section):
    """Fidelity, diversity and downstream use."""

    extractors: tuple[ExtractorName, ...] = Field(
        ("radiomics", "random_conv"),
        min_length=1,
        strict=False,
        description="feature extractors, each a file of fedgen/extractors: radiomics, random_conv, thumbnails, "
        "public_prior (of model.prior), given_network (of evaluation.network); two at least, so that one that misleads "
        "shows",
    )
    network: NetworkWeights | None = Field(
        None, description="a network and its weights, for the extractor given_network"
    )
    perceptual: PerceptualSection | None = Field(
        None, description="a network and its weights, for LPIPS of translations"
    )
    seeds: int = Field(3, ge=1, description="classifier seeds of each downstream arm")
    steps: int = Field(
        200,
        ge=1,
        description="training steps of each classifier, at most; how many an arm takes is found on its own training "
        "patients, and 100 or fewer are taken as they are",
    )
    bootstrap: int = Field(1000, ge=100, description="bootstrap replicates of patients")
    ratios: tuple[Annotated[float, Field(gt=0, le=20)], ...] = Field(
        (0.5, 1.0, 2.0),
        max_length=12,
        strict=False,
        description="synthetic images added to the real ones, as multiples of their number, each beside as many real "
        "ones that are duplicated and that are augmented; by the simple judge. More take longer: 0.25, 0.5, 1, 2, 5",
    )
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (),
        max_length=12,
        strict=False,
        description="shares of the real training patients of which the simple judge learns with and without the "
        "synthetic images, such as 0.01, 0.05, 0.1, 0.25, 0.5, 1; none by default",
    )
    reading: ReadingSection = Field(
        default_factory=lambda: ReadingSection(),
        description="what `fedgen read` shows to people, and asks of them",
    )
