"""What leaves a site: numbers over enough patients, and nothing that was planted beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import assess_audit, assess_evaluation
from fedgen.evidence.leave import leave, leaving_audit, leaving_evaluation
from fedgen.evidence.measure import AuditedModel
from fedgen.run.evidence_files import Evaluated
from fedgen.run.row import WITHHELD, Finding, Row, SitePart, Value, Verdict
from fedgen.study.study import Study

SCORE = Value(name="score", value=0.7, low=0.6, high=0.8, pool="mean", weight="test_patients")


def row(**fields: Any) -> Row:
    base: dict[str, Any] = {"id": "m", "title": "M", "group": "g", "values": (SCORE,)}
    return Row(**{**base, "n": {"test_patients": 12, "synthetic_images": 2}, **fields})


def left(given: Row, least: int = 10) -> Row:
    (found,) = leave([given], least)
    return found


def test_a_row_about_enough_patients_leaves_as_it_is() -> None:
    assert left(row(note="As measured.")) == row(note="As measured.")


def test_the_parts_of_sites_stay_and_so_do_names_of_sites() -> None:
    planted = row(
        per_site=(SitePart(site="north", values=(SCORE,)),),
        values=(SCORE.model_copy(update={"without": ("secret",)}),),
        findings=(Finding(verdict=Verdict.PASS, sentence="Fine.", sites=("secret",)),),
    )
    assert left(planted) == row(findings=(Finding(verdict=Verdict.PASS, sentence="Fine."),))


@given(
    st.dictionaries(st.sampled_from(["test_patients", "real_pairs", "synthetic_images"]), st.integers(0, 30))
)
def test_numbers_of_few_patients_stay(n) -> None:
    told = row(n=n, findings=(Finding(verdict=Verdict.INSUFFICIENT, sentence="Few."),), note="Of class a.")
    found = left(told)
    real = [count for name, count in n.items() if not name.startswith("synthetic_")]
    enough = bool(real) and min(real) >= 10
    assert found.values == (told.values if enough else ())
    assert found.note == ("Of class a." if enough else WITHHELD)
    assert all(count >= 10 or name.startswith("synthetic_") for name, count in found.n.items())
    # What it means is still said.
    assert found.findings == told.findings


def test_a_row_that_does_not_say_of_how_many_it_speaks_keeps_its_numbers() -> None:
    assert left(row(n={})).values == ()
    assert left(row(n={"synthetic_images": 500})).values == ()
    explained = row(values=(), n={}, note="What these numbers are.")
    assert left(explained) == explained


def test_counts_of_a_class_stay() -> None:
    found = left(row(note="Fewer than 3 test patients of a class: none (2), lesion (1)."))
    assert found.note == "Fewer than 3 test patients of a class: none, lesion."


class Leaky(Row):
    """A measure's row with more in it than a row has."""

    per_patient: tuple[float, ...] = (0.1, 0.2, 0.3)


def test_what_a_measure_plants_beside_the_form_is_an_error_or_gone() -> None:
    leaky = Leaky(**dict(row()))
    assert "per_patient" not in left(leaky).model_dump()
    with pytest.raises(ValidationError):
        Evaluated(n={}, rows=(leaky,), limits=(), seed=1)
    pixels = row().model_copy(update={"note": "\n".join(["0.1"] * 9)})
    with pytest.raises(ValidationError):
        leaving_evaluation(Evaluated.model_construct(n={}, rows=(pixels,), limits=(), seed=1))


def test_a_whole_site(
    make_site: Callable[..., SiteData], make_synthetic: Callable[..., LabelledImages]
) -> None:
    study = Study.model_validate(
        {
            "study": {"name": "t"},
            "evaluation": {"seeds": 1, "steps": 1, "bootstrap": 100, "extractors": ["random_conv"]},
            "audit": {"bootstrap": 100, "minimum_patients": 8},
        }
    )
    # 12 patients train, 4 are for the audit and 8 for tests.
    site, made = make_site("north", patients=24), make_synthetic(20)
    measured = assess_audit(study, [site], made, AuditedModel({}, None, 1e-5))
    told = leaving_audit(measured, 8)
    assert any(row.values and row.per_site for row in measured.rows)
    assert all(row.values == row.per_site == () for row in told.rows)
    assert [row.verdict for row in told.rows] == [row.verdict for row in measured.rows]
    numbers = leaving_evaluation(assess_evaluation(study, [site], made))
    assert any(row.values for row in numbers.rows)
    assert "north" not in numbers.model_dump_json() + told.model_dump_json()
