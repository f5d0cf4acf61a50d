"""The numbers of an assessment that may leave a site, as a strict form.

What is not named here does not travel: a list by patient, a picture, a path or a new field of an audit is an error
at the site that would send it, not a leak. Both ends check; sentences are short and of printable characters.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Bytes of an assessment's JSON text, at most.
MAX_BYTES = 2**18

Word = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_+-]+$")]
Sentence = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Counts = Annotated[dict[Word, Count], Field(max_length=16)]
Sentences = Annotated[list[Sentence], Field(max_length=64)]
VerdictName = Literal["PASS", "REVIEW", "FAIL", "INSUFFICIENT"]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """The form as a JSON object."""
        return self.model_dump(by_alias=True)


class AuditValue(_Form):
    """One statistic with its interval."""

    name: Sentence
    value: float | None
    low: float | None
    high: float | None
    note: Sentence | None


class AuditRow(_Form):
    """One audit of the site; no values where it has fewer patients than the study's minimum."""

    id: Word
    title: Sentence
    verdict: VerdictName
    reason: Sentence
    values: Annotated[list[AuditValue], Field(max_length=32)]
    n: Counts


class Claim(_Form):
    """The epsilon and delta that the site's membership results are compared with."""

    epsilon: float | None
    delta: float


class AuditNumbers(_Form):
    """All audits of one site."""

    verdict: VerdictName
    reasons: Sentences
    alpha: Annotated[float, Field(gt=0, lt=1)]
    n: Counts
    claim: Claim
    audits: Annotated[list[AuditRow], Field(min_length=1, max_length=32)]
    limits: Sentences
    seed: Count


class ExtractorName(_Form):
    """Whose features a distance is in."""

    name: Word
    hash: Word
    dimensions: Count


class FidelityNumbers(_Form):
    """One distance between synthetic and the site's held-out images."""

    extractor: ExtractorName
    metric: Word
    n_real: Count
    n_synthetic: Count
    note: Sentence | None
    value: float | None
    std: float | None
    floor: float | None
    floor_std: float | None


class ClassDiversity(_Form):
    """Mean likeness of pairs of one class."""

    name: Annotated[Sentence, Field(alias="class")]
    synthetic: float | None
    real: float | None
    pairs: Count
    note: Sentence | None


class Diversity(_Form):
    """Diversity of every class."""

    metric: Sentence
    scales: Count
    classes: Annotated[list[ClassDiversity], Field(max_length=1024)]


class Score(_Form):
    """A score with its interval over test patients."""

    value: float
    low: float
    high: float
    std_seeds: float | None


class ArmNumbers(_Form):
    """One arm of the downstream comparison, tested on the site's test patients."""

    arm: Word
    title: Sentence
    n_train: Count
    auroc: Score | None
    balanced_accuracy: Score | None
    note: Sentence | None


class DifferenceNumbers(_Form):
    """Paired difference of two arms."""

    arm: Word
    against: Word
    metric: Word
    value: float | None
    low: float | None
    high: float | None


class Downstream(_Form):
    """The downstream comparison at one site."""

    steps: Count
    seeds: Count
    arms: Annotated[list[ArmNumbers], Field(max_length=32)]
    differences: Annotated[list[DifferenceNumbers], Field(max_length=64)]


class EvaluationNumbers(_Form):
    """The evaluation of one site."""

    n: Counts
    fidelity: Annotated[list[FidelityNumbers], Field(max_length=64)]
    diversity: Diversity
    downstream: Downstream
    limits: Sentences
    seed: Count
