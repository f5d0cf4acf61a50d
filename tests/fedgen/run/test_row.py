"""A row holds what is named and nothing else, a site's rows speak of that site alone, and an old file is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedgen.errors import DataError
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile, Claim, EvaluationFile, EvaluationNumbers
from fedgen.run.row import SEVERITY, Finding, Row, SitePart, Value, Verdict, worst

ROW: dict[str, Any] = {"id": "copies", "title": "Copies", "group": "audit"}
VALUE: dict[str, Any] = {"name": "AUC", "value": 0.5, "low": 0.4, "high": 0.6}


def told(**changes: Any) -> str:
    return json.dumps({**ROW, "values": [VALUE], "n": {"train_patients": 9}, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"patients": [1, 2, 3]}, {"picture": "iVBORw0KGgo="}, {"title": "two\nlines"}, {"note": "long " * 300},
        {"n": {"a": 0.5}}, {"n": {"a": [1, 2]}}, {"n": {"/data/north/p1.dcm": 1}}, {"n": {"a": -1}},
        {"id": "a b"}, {"values": [VALUE] * 33}, {"values": [{**VALUE, "per_patient": [0.1]}]},
        {"values": [{**VALUE, "value": [0.1, 0.2]}]}, {"values": [{**VALUE, "value": "0.1"}]},
        {"values": [{**VALUE, "pool": "mean"}]}, {"values": [{**VALUE, "weight": "train_patients"}]},
        {"values": [{**VALUE, "pool": "median"}]}, {"values": [{**VALUE, "value": True}]},
        {"findings": [{"verdict": "FINE", "sentence": "s"}]},
    ],
)  # fmt: skip
def test_anything_else_is_an_error(changes) -> None:
    Row.model_validate_json(told())
    with pytest.raises(ValidationError):
        Row.model_validate_json(told(**changes))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_or_said(number) -> None:
    with pytest.raises(ValidationError):
        Value(name="z", value=number)
    with pytest.raises(ValidationError):
        Value(name="z", value=1.0, low=number)
    said = Value.of("z", number, number, 1.0, "few")
    assert (said.value, said.low, said.high, said.note) == (None, None, 1.0, "few; not finite")


def test_whole_numbers_stay_whole() -> None:
    row = Row(**ROW, values=(Value(name="a", value=3), Value(name="b", value=3.0)))
    again = Row.model_validate_json(row.model_dump_json())
    assert [type(value.value) for value in again.values] == [int, float]


@given(st.lists(st.sampled_from(SEVERITY), max_size=4))
def test_the_verdict_is_the_worst_finding(verdicts) -> None:
    row = Row(**ROW, findings=tuple(Finding(verdict=each, sentence="s") for each in verdicts))
    assert row.verdict == (min(verdicts, key=SEVERITY.index) if verdicts else None)
    assert worst(*verdicts) == (row.verdict or Verdict.PASS)


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (Row(**ROW), Row(**ROW)),
        (Row(**ROW, per_site=(SitePart(site="north"),)),),
        (Row(**ROW, values=(Value(name="a", value=1, without=("north",)),)),),
        (Row(**ROW, findings=(Finding(verdict=Verdict.PASS, sentence="s", sites=("north",)),)),),
    ],
)
def test_a_site_sends_rows_of_its_own_alone(rows) -> None:
    EvaluationNumbers(n={}, rows=(Row(**ROW),), limits=(), seed=1)
    with pytest.raises(ValidationError):
        EvaluationNumbers(n={}, rows=rows, limits=(), seed=1)


def test_what_a_copy_or_a_subclass_smuggles_in_is_found_where_it_is_used() -> None:
    class Leaky(Row):
        per_patient: tuple[float, ...] = (0.1, 0.2)

    for row in (Row(**ROW).model_copy(update={"note": "two\nlines"}), Leaky(**ROW)):
        with pytest.raises(ValidationError):
            EvaluationNumbers(n={}, rows=(row,), limits=(), seed=1)


def test_a_file_comes_back_as_it_was_written(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    rows = (Row(**ROW, per_site=(SitePart(site="north", values=(Value(name="a", value=1),)),)),)
    file = AuditFile(
        n={"train_patients": 3}, rows=rows, limits=("L.",), seed=1, alpha=0.05,
        claim=Claim(epsilon=1.0, delta=1e-5), verdict=Verdict.PASS, reasons=("Fine.",),
    )  # fmt: skip
    file.write(run)
    assert AuditFile.read(run) == file


def test_a_file_of_another_version_or_a_damaged_one_is_refused_in_a_sentence(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    old = {"n": {}, "fidelity": [], "diversity": {}, "downstream": {}, "limits": [], "seed": 1}
    run.write_json("evaluation.json", old)
    with pytest.raises(DataError, match=r"evaluation\.json has the form of a version before 2"):
        EvaluationFile.read(run)
    run.write_json("evaluation.json", {**old, "version": 3})
    with pytest.raises(DataError, match=r"has the form of version 3 and this fedgen reads version 2"):
        EvaluationFile.read(run)
    run.write_json("evaluation.json", {"version": 2, "n": {}, "rows": [{"id": 1}], "limits": [], "seed": 1})
    with pytest.raises(DataError, match=r"is damaged \(rows\.0\.id: .*run the stage that writes it again"):
        EvaluationFile.read(run)
