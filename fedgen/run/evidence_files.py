"""The typed forms of what audits and evaluations say: of one site, on the wire, and of a run, in its two files."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from fedgen.run.row import Count, Counts, LeavingRows, Name, Row, Sentence, Verdict
from fedgen.run.run_file import RunFile
from fedgen.schema.section import Section

AUDIT, EVALUATION = "audit.json", "evaluation.json"


class Claim(Section):
    """The epsilon (None without DP) and delta that membership results are compared with."""

    epsilon: float | None
    delta: float


class Evaluated(Section):
    """Metrics of a release against the patients of some sites, as measured.

    Attributes:
        n: patients and images.
        rows: the metrics.
        limits: what these numbers do not say.
        seed: of every draw.
    """

    model_config = ConfigDict(revalidate_instances="always", hide_input_in_errors=True)

    n: Counts
    rows: tuple[Row, ...]
    limits: Annotated[tuple[Sentence, ...], Field(max_length=64)]
    seed: Count


class Audited(Evaluated):
    """Audits of a release and its model against the patients of some sites, as measured.

    Attributes:
        alpha: 1 - confidence of every interval, and the family-wise error of the tests.
        claim: the largest of the sites.
    """

    alpha: Annotated[float, Field(gt=0, lt=1)]
    claim: Claim


class EvaluationNumbers(Evaluated):
    """What may leave a site of its evaluation."""

    rows: LeavingRows


class AuditNumbers(Audited):
    """What may leave a site of its audit: every row judges, so that none passes by saying nothing."""

    rows: LeavingRows

    @model_validator(mode="after")
    def _judged(self) -> Self:
        silent = [row.id for row in self.rows if not row.findings]
        if silent:
            raise ValueError(f"rows of an audit without a verdict: {', '.join(silent)}")
        return self


class Absent(Section):
    """A site in the model that sent nothing, with the reason."""

    site: Name
    reason: str


class SiteVerdict(Section):
    """One site's whole audit in a joined file."""

    site: Name
    verdict: Verdict
    reasons: tuple[str, ...]
    n: Counts
    claim: Claim


class SiteAnswer(RunFile):
    """`assessments/<site>.json`: what a site sent.

    Attributes:
        site: name.
        question: sha256 of the question that it answered.
        audit, evaluation: None where the site's policy withholds it.
    """

    name: ClassVar[str] = ""
    site: Name
    question: str
    audit: AuditNumbers | None
    evaluation: EvaluationNumbers | None


class _Joined(RunFile):
    limits: tuple[str, ...]
    pooled: tuple[Row, ...] = ()
    where: str | None = None
    absent: tuple[Absent, ...] = ()


class AuditFile(_Joined, Audited):
    """`audit.json`.

    Attributes:
        verdict: the worst of the rows, and INSUFFICIENT at best where a site is absent.
        reasons: one sentence for each row that did not pass, the worst first.
        where: who audited, where sites did it themselves.
        sites: each site's own verdict, where sites audited themselves.
        absent: sites in the model without an audit.
        pooled: rows over the patients of all sites in one place, which a simulation has and a federation cannot.
    """

    name: ClassVar[str] = AUDIT
    verdict: Verdict
    reasons: tuple[str, ...]
    sites: tuple[SiteVerdict, ...] = ()


class EvaluationFile(_Joined, Evaluated):
    """`evaluation.json`.

    Attributes:
        where: who evaluated, where sites did it themselves.
        pooling: what a value over sites is, where sites evaluated themselves; None where all patients were pooled.
        absent: sites in the model without an evaluation.
        pooled: rows over the patients of all sites in one place, which a simulation has and a federation cannot.
    """

    name: ClassVar[str] = EVALUATION
    pooling: str | None = None
