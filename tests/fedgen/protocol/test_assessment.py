"""An assessment holds the numbers that are named and nothing else; its question is exactly a model and a release."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import FederationError
from fedgen.protocol.messages import MAX_ASSESSMENT, Assess, Assessment
from fedgen.protocol.wire import decode_answer, decode_task, encode_answer, encode_task
from fedgen.run.evidence_files import AuditNumbers, Claim, EvaluationNumbers
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict

HASH = "a" * 64
number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
count = st.integers(0, 10**9)
word = st.text("abcdefghijklmnopqrstuvwxyz-_+0189ABC", min_size=1, max_size=20)
sentence = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
counts = st.dictionaries(word, count, max_size=4)
optional = st.none() | sentence

value = st.builds(
    Value,
    name=sentence,
    value=number | st.integers(-(10**9), 10**9),
    low=number,
    high=number,
    std=number,
    chance=number,
    note=optional,
    pool=st.sampled_from(["none", "sum", "same"]),
)
mean = st.builds(Value, name=sentence, value=number, pool=st.just("mean"), weight=word)
finding = st.builds(Finding, verdict=st.sampled_from(Verdict), sentence=sentence)


def rows(findings: int) -> st.SearchStrategy[tuple[Row, ...]]:
    row = st.builds(
        Row,
        id=word,
        title=sentence,
        group=word,
        about=optional,
        values=st.lists(value | mean, max_size=3).map(tuple),
        n=counts,
        findings=st.lists(finding, min_size=findings, max_size=2).map(tuple),
        note=optional,
    )
    return st.lists(row, min_size=1, max_size=3, unique_by=lambda each: each.id).map(tuple)


audits = st.builds(
    AuditNumbers,
    alpha=st.floats(0, 1, exclude_min=True, exclude_max=True),
    claim=st.builds(Claim, epsilon=number, delta=st.floats(0, 1)),
    n=counts,
    rows=rows(1),
    limits=st.lists(sentence, max_size=3).map(tuple),
    seed=count,
)
evaluations = st.builds(
    EvaluationNumbers, n=counts, rows=rows(0), limits=st.lists(sentence, max_size=2).map(tuple), seed=count
)


@given(st.none() | audits, st.none() | evaluations)
def test_assessments_round_trip(audit, evaluation) -> None:
    answer = sent(audit, evaluation)
    text, vector = encode_answer(answer)
    assert vector is None
    assert decode_answer(text, None) == answer


def sent(audit: AuditNumbers | None, evaluation: EvaluationNumbers | None = None) -> Assessment:
    return Assessment(site="north", question_sha256=HASH, audit=audit, evaluation=evaluation)


FINE = Finding(verdict=Verdict.PASS, sentence="fine")
ROW: dict[str, Any] = Row(id="a", title="A", group="audit", findings=(FINE,)).model_dump(mode="json")
VALUE: dict[str, Any] = Value(name="v", value=1.0).model_dump(mode="json")


def audit_of(*rows: Row) -> AuditNumbers:
    claim = Claim(epsilon=None, delta=1e-5)
    return AuditNumbers(alpha=0.05, n={"train_patients": 5}, claim=claim, rows=rows, limits=(), seed=1)


def told(**changes: Any) -> str:
    """The text of an assessment whose audit has other entries."""
    body = json.loads(encode_answer(sent(audit_of(Row.model_validate_json(json.dumps(ROW)))))[0])
    body["message"]["audit"] |= changes
    return json.dumps(body)


@pytest.mark.parametrize(
    "changes",
    [
        {"patients": [1, 2, 3]}, {"picture": "iVBORw0KGgo="}, {"rows": []}, {"limits": ["two\nlines"]},
        {"limits": ["long " * 300]}, {"limits": ["l"] * 65}, {"n": {"a": 0.5}}, {"n": {"a": [1, 2]}},
        {"n": {"/data/north/p1.dcm": 1}}, {"alpha": 0.0}, {"seed": -1}, {"claim": {"epsilon": None}},
        {"rows": [{**ROW, "per_patient": [0.1]}]}, {"rows": [{**ROW, "findings": []}]}, {"rows": [ROW, ROW]},
        {"rows": [{**ROW, "per_site": [{"values": [], "n": {}, "findings": [], "note": None, "site": "other"}]}]},
        {"rows": [{**ROW, "findings": [{"verdict": "FINE", "sentence": "s", "sites": []}]}]},
        {"rows": [{**ROW, "values": [{**VALUE, "without": ["other"]}]}]}, {"rows": [{**ROW, "values": [VALUE] * 33}]},
    ],
)  # fmt: skip
def test_anything_else_is_refused(changes) -> None:
    decode_answer(told(), None)
    decode_answer(told(rows=[{**ROW, "values": [VALUE]}], limits=["l"], n={"a": 1}, seed=2), None)
    with pytest.raises(FederationError):
        decode_answer(told(**changes), None)


def test_what_was_slipped_past_the_form_does_not_leave() -> None:
    """A copy is not checked when it is made, so it is checked when it leaves."""
    audit = audit_of(Row(id="a", title="A", group="audit", findings=(FINE,)))
    for change in ({"note": "two\nlines"}, {"note": "n" * 1001}, {"per_site": (SitePart(site="other"),)}):
        planted = audit.model_copy(update={"rows": (audit.rows[0].model_copy(update=change),)})
        with pytest.raises(ValueError, match="validation error"):
            encode_answer(sent(planted))


def test_an_assessment_has_a_size_limit() -> None:
    values = tuple(Value(name="s" * 900, value=1.0, note="n" * 900) for _ in range(32))
    large = tuple(
        Row(id=f"r{i}", title="R", group="audit", values=values, findings=(FINE,)) for i in range(32)
    )
    audit = audit_of(*large)
    text = told(rows=json.loads(audit.model_dump_json())["rows"])
    assert len(text) > MAX_ASSESSMENT
    with pytest.raises(FederationError, match="more than"):
        decode_answer(text, None)
    with pytest.raises(ValueError, match="larger than"):
        encode_answer(sent(audit))


def question() -> Assess:
    images = torch.tensor([[[[0.5, -1.0], [0.25, 1.0]]]])
    return Assess(
        study_sha256=HASH, model_sha256=HASH, model=torch.arange(3.0), images=images, labels=torch.tensor([1])
    )


@pytest.mark.parametrize(
    ("place", "number"),
    [
        (3, 1.5),
        (3, float("nan")),
        (4, -1.001),
        (5, 0.1),
        (7, -1.0),
        (7, 0.5),
        (7, 2.0**16),
        (7, float("inf")),
    ],
)
def test_a_release_that_could_not_be_one_is_refused(place, number) -> None:
    text, sent = encode_task(question())
    assert sent is not None
    changed = sent.copy()
    changed[place] = number
    decode_task(text, sent)
    with pytest.raises(FederationError, match="synthesize it again"):
        decode_task(text, changed)


@pytest.mark.parametrize("size", [7, 9])
def test_sizes_must_fit(size) -> None:
    text, _ = encode_task(question())
    with pytest.raises(FederationError, match="sizes of its parts make 8"):
        decode_task(text, np.zeros(size, np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"study_sha256": "b" * 64},
        {"model": torch.tensor([0.0, 1.0, 3.0])},
        {"images": -question().images},
        {"images": question().images.reshape(1, 1, 1, 4)},
        {"labels": torch.tensor([0])},
    ],
)
def test_the_hash_is_of_the_whole_question(change) -> None:
    asked = question()
    other = Assess(
        **{
            name: getattr(asked, name)
            for name in ("study_sha256", "model_sha256", "model", "images", "labels")
        }
        | change
    )
    assert decode_task(*encode_task(asked)).sha256 == asked.sha256
    assert other.sha256 != asked.sha256
