"""The study: one coordinated training, as asked for in a YAML file."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from fedgen.families.registry import specs
from fedgen.schema.section import Section
from fedgen.study.audit_section import AuditSection
from fedgen.study.compile_task import compiled_task, why_impossible
from fedgen.study.data import DataSection
from fedgen.study.evaluation_section import EvaluationSection
from fedgen.study.evidence_section import EvidenceSection
from fedgen.study.model import ModelSection
from fedgen.study.release_section import ReleaseSection
from fedgen.study.task import TaskSection
from fedgen.study.training import (
    AggregationSection,
    PrivacySection,
    SynthesisSection,
    TrainingSection,
)
from fedgen.task.task import Task


class StudySection(Section):
    """What the study is called, and its seed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64, description="names the run folder")
    seed: int = Field(0, ge=0, lt=2**31, description="fixes split, initial weights, synthesis and evaluation")
    description: str = Field("", description="one or two sentences for the report")


class Study(Section):
    """A whole study file, every default filled in."""

    study: StudySection
    data: DataSection = Field(default_factory=lambda: DataSection())
    task: TaskSection = Field(default_factory=lambda: TaskSection())
    model: ModelSection = Field(default_factory=lambda: ModelSection())
    training: TrainingSection = Field(default_factory=lambda: TrainingSection())
    privacy: PrivacySection = Field(default_factory=lambda: PrivacySection())
    aggregation: AggregationSection = Field(default_factory=lambda: AggregationSection())
    synthesis: SynthesisSection = Field(default_factory=lambda: SynthesisSection())
    audit: AuditSection = Field(default_factory=lambda: AuditSection())
    evaluation: EvaluationSection = Field(default_factory=lambda: EvaluationSection())
    evidence: EvidenceSection = Field(default_factory=lambda: EvidenceSection())
    release: ReleaseSection = Field(default_factory=lambda: ReleaseSection())

    @model_validator(mode="before")
    @classmethod
    def _no_label_unasked(cls, values: Any) -> Any:
        """Where the task is not given class, `data.labels` are none unless the study lists some."""
        if not isinstance(values, dict) or _given_class(values.get("task", {})):
            return values
        data = values.get("data", {})
        if not isinstance(data, dict) or "labels" in data:
            return values
        return {**values, "data": {**data, "labels": []}}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.aggregation.secure and self.aggregation.minimum_sites < 3:
            raise ValueError(
                "aggregation.minimum_sites must be 3 or more where aggregation.secure is on, because from the sum of "
                "two updates each of the two sites knows the other's"
            )
        if not self.privacy.private and self.privacy.central_images is not None:
            raise ValueError(
                "privacy.central_images is a query with noise, which privacy.mode none does not have: leave it out, "
                "or use another mode"
            )
        self._require_paid_evidence()
        impossible = why_impossible(self.task, self.data)
        if impossible is not None:
            raise ValueError(impossible)
        family = specs()[self.model.family]
        if self.privacy.mode != "none" and not family.private:
            raise ValueError(
                f"model.family {family.name} cannot be trained with privacy.mode {self.privacy.mode}, because "
                f"{family.why_not}: choose another family, or privacy.mode none"
            )
        if self.privacy.mode == "distributed":
            self._require_distributed()
        made = None if self.model.prior is None else self.model.prior.phantom
        if made is not None and self.data.phantom is not None and made.seed == self.study.seed:
            raise ValueError(
                f"model.prior.phantom.seed and study.seed are both {made.seed}: give the public phantoms a seed of "
                "their own, so that they are other patients than those of data.phantom"
            )
        if made is not None and self.data.channels != 1:
            raise ValueError(
                "model.prior.phantom is gray, but data.channels is 3: use a prior in a file (model.prior.sha256)"
            )
        if self.task.kind == "translate" and self.synthesis != SynthesisSection():
            raise ValueError(
                "synthesis is of new images, but task.kind is translate, whose release is the model: leave it out"
            )
        creates = self.task.kind == "create"
        if creates and len(self.data.image_size) == 3 and "png" in self.synthesis.formats:
            raise ValueError(
                "data.image_size has three sides, but synthesis.formats names png, which holds no volume: take nifti "
                "or dicom"
            )
        if made is not None and len(self.data.image_size) == 3:
            raise ValueError(
                "model.prior.phantom makes slices, but data.image_size has three sides: use a prior in a file"
            )
        unknown = set(self.synthesis.balance or ()) - set(self.data.labels)
        if unknown:
            raise ValueError(
                f"synthesis.balance names {', '.join(sorted(unknown))}, which data.labels does not list"
            )
        return self

    def _require_paid_evidence(self) -> None:
        noised = self.evidence.privacy
        if noised is None:
            return
        if not self.privacy.private:
            raise ValueError(
                "evidence.privacy takes its share of privacy.epsilon, which privacy.mode none does not have: leave it "
                "out, or use another mode"
            )
        if noised.epsilon >= self.privacy.epsilon:
            raise ValueError(
                f"evidence.privacy.epsilon is {noised.epsilon:g}, but it is a part of privacy.epsilon "
                f"{self.privacy.epsilon:g} and leaves the training the rest: make it smaller"
            )
        if self.audit.canaries:
            raise ValueError(
                "audit.canaries are counted in an audit without noise, but evidence.privacy lets noised sums alone"
                " leave, so that canaries would be trained on for nothing: leave one of the two out"
            )
        if self.task.kind == "translate":
            raise ValueError(
                "evidence.privacy measures images that were released, but task.kind is translate, whose release is the "
                "model: leave it out"
            )

    def _require_distributed(self) -> None:
        if not self.aggregation.secure or self.aggregation.ring_bits != 32:
            raise ValueError(
                "privacy.mode distributed needs aggregation.secure on and aggregation.ring_bits 32, because only the "
                "sum of the sites carries enough noise"
            )
        if self.privacy.sampling_rate is None:
            raise ValueError(
                "privacy.mode distributed needs privacy.sampling_rate, the same public number for all sites: about "
                "training.batch_patients / the training patients of all sites together"
            )
        if self.training.local_steps != 1 and self.steps:
            raise ValueError(
                f"privacy.mode distributed sums single steps, so training.local_steps must be 1, not "
                f"{self.training.local_steps}: set training.rounds to the number of steps"
            )

    @property
    def made(self) -> Task:
        """What is made from what."""
        return compiled_task(self.task, self.data)

    @property
    def steps(self) -> bool:
        """Whether the family takes steps, and is not made of sums alone."""
        return not specs()[self.model.family].sums

    @property
    def training_rounds(self) -> int:
        """Rounds of the training: as many as it says, or as the family has sums."""
        return specs()[self.model.family].sums or self.training.rounds

    @property
    def public_patients(self) -> int | None:
        """Training patients of all sites together, where the study has to say so itself: in mode distributed."""
        rate = self.privacy.sampling_rate
        if self.privacy.mode != "distributed" or rate is None:
            return None
        return max(round(self.training.batch_patients / rate), 1)

    @property
    def total_rounds(self) -> int:
        """Aggregations in all: the warm start, where there is one, and the training's rounds."""
        return self.training_rounds + (self.privacy.central_images is not None)


def _given_class(task: Any) -> bool:
    """Whether a task is given class, as far as what was written tells before it is checked."""
    if isinstance(task, TaskSection):
        return "class" in task.conditions
    if not isinstance(task, dict) or task.get("kind") == "translate":
        return not isinstance(task, dict)
    given = task.get("given", TaskSection().given)
    return not isinstance(given, list | tuple) or "class" in given
