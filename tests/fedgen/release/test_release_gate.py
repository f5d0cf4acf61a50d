"""The gate: the worst of the audit and the thresholds, with reasons; what nobody can accept is not accepted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import ExitCode, GateError
from fedgen.release.release_gate import Decision, gate, require_open
from fedgen.run.evidence_files import AuditFile, Claim, EvaluationFile
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import SEVERITY, Finding, Row, Verdict
from fedgen.study.release_section import ReleaseSection

PASSED = Finding(verdict=Verdict.PASS, sentence="Fine.")


def row(id: str, verdict: Verdict | None = Verdict.PASS, sentence: str = "Because.") -> Row:
    found = () if verdict is None else (Finding(verdict=verdict, sentence=sentence),)
    return Row(id=id, title=id, group="g", findings=found)


def audit(verdict: Verdict = Verdict.PASS, rows: tuple[Row, ...] = (row("copy-detection"),)) -> AuditFile:
    return AuditFile(
        verdict=verdict,
        reasons=() if verdict is Verdict.PASS else (f"It is {verdict}.",),
        alpha=0.05,
        n={},
        claim=Claim(epsilon=3.0, delta=1e-5),
        rows=rows,
        limits=(),
        seed=1,
    )


def evaluation(*rows: Row) -> EvaluationFile:
    return EvaluationFile(n={}, rows=rows, limits=(), seed=1)


def privacy(epsilon: float | None = 3.0, mode: str = "local") -> PrivacyFile:
    return PrivacyFile(
        unit="patient", mode=mode, statement="S.", epsilon=epsilon, delta=1e-5, accountant="PRV", holds_against="all",
        clipping_norm=1.0, multiplicity=1, images_per_patient=1, shared_patients=0, start=None, sites=(), limits=(),
    )  # fmt: skip


def judged(asked: dict[str, Any] | None = None, **parts: Any) -> Decision:
    return gate(
        ReleaseSection(**(asked or {})),
        parts.get("audit", audit()),
        parts.get("evaluation", evaluation()),
        parts.get("privacy", privacy()),
        parts.get("unsigned", ()),
    )


def test_a_pass_within_the_thresholds_is_open() -> None:
    assert judged() == Decision(Verdict.PASS, ())
    require_open(judged(), accepted=False)


@pytest.mark.parametrize("verdict", [Verdict.REVIEW, Verdict.FAIL, Verdict.INSUFFICIENT])
def test_the_audits_verdict_is_the_least(verdict: Verdict) -> None:
    found = judged(audit=audit(verdict))
    assert found == Decision(verdict, (f"It is {verdict}.",))
    with pytest.raises(GateError, match=f"It is {verdict}") as caught:
        require_open(found, accepted=False)
    assert caught.value.exit_code is ExitCode.GATE == 6
    if verdict is Verdict.REVIEW:
        require_open(found, accepted=True)
    else:
        with pytest.raises(GateError, match=r"nobody can accept.*To go on, "):
            require_open(found, accepted=True)


def test_what_was_never_audited_does_not_pass() -> None:
    assert judged(audit=audit(rows=())).verdict is Verdict.INSUFFICIENT
    assert judged(audit=audit(rows=(row("a", None),))).verdict is Verdict.INSUFFICIENT


def test_a_study_may_refuse_every_review() -> None:
    found = judged({"review": "refuse"}, audit=audit(Verdict.REVIEW))
    assert found.verdict is Verdict.FAIL and "release.review is refuse" in found.reasons[0]


def test_epsilon_has_a_limit_unless_the_study_says_that_it_has_none() -> None:
    assert judged(privacy=privacy(10.0)).verdict is Verdict.PASS
    assert judged(privacy=privacy(10.01)).verdict is Verdict.FAIL
    assert judged(privacy=privacy(None)).verdict is Verdict.FAIL
    none = judged(privacy=privacy(None, "none"))
    assert none.verdict is Verdict.FAIL and "privacy.mode is none" in none.reasons[0]
    for each in (privacy(None, "none"), privacy(1e9)):
        assert judged({"largest_epsilon": None}, privacy=each).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("rows", "decided", "shown"),
    [
        ((), "INSUFFICIENT", "INSUFFICIENT"),
        ((row("TRTR"), row("TSTR")), "PASS", "PASS"),
        ((row("TRTR"), row("TSTR", Verdict.REVIEW)), "PASS", "FAIL"),
        ((row("TRTR", Verdict.INSUFFICIENT), row("TSTR")), "INSUFFICIENT", "INSUFFICIENT"),
        ((row("TRTR"), row("TSTR", None)), "INSUFFICIENT", "INSUFFICIENT"),
        ((row("segmentation-TRTR"), row("segmentation-TSTR", Verdict.REVIEW)), "PASS", "FAIL"),
        ((row("translation-model"),), "PASS", "PASS"),
    ],
)
def test_its_use_may_have_to_be_known(rows: tuple[Row, ...], decided: str, shown: str) -> None:
    measured = evaluation(*rows)
    assert judged(evaluation=measured).verdict is Verdict.PASS
    assert judged({"worth": "decided"}, evaluation=measured).verdict.value == decided
    assert judged({"worth": "shown"}, evaluation=measured).verdict.value == shown
    # Of all patients together, where there is one place that has them.
    pooled = measured.model_copy(update={"rows": (), "pooled": measured.rows})
    assert judged({"worth": "shown"}, evaluation=pooled).verdict.value == shown


def test_receipts_may_be_required() -> None:
    assert judged(unsigned=("north",)).verdict is Verdict.PASS
    found = judged({"require_receipts": True}, unsigned=("north",))
    assert found.verdict is Verdict.INSUFFICIENT and "north signed no receipt" in found.reasons[0]


@given(
    st.sampled_from(Verdict),
    st.floats(0.1, 100),
    st.floats(0.1, 100) | st.none(),
    st.booleans(),
    st.booleans(),
)
def test_a_stricter_study_is_never_more_open(
    verdict: Verdict, epsilon: float, limit: float | None, refuse: bool, receipts: bool
) -> None:
    parts = {"audit": audit(verdict), "privacy": privacy(epsilon), "unsigned": ("north",)}
    loose = judged({"largest_epsilon": None}, **parts)
    strict = judged(
        {
            "largest_epsilon": limit,
            "review": "refuse" if refuse else "ask",
            "require_receipts": receipts,
        },
        **parts,
    )
    assert SEVERITY.index(strict.verdict) <= SEVERITY.index(loose.verdict) == SEVERITY.index(verdict)
    assert bool(strict.reasons) == (strict.verdict is not Verdict.PASS)
