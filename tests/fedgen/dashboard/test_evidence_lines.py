"""Rows of the sites are on the page as they come, each with what its policy lets leave, and of this release alone."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.evidence_lines import rows_so_far, site_evidence
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Assessed, NotAssessed, QuestionAsked, StageBegun
from fedgen.run.evidence_files import AuditNumbers, Claim, EvaluationNumbers, SiteAnswer
from fedgen.run.row import WITHHELD, Finding, Row, Value, Verdict
from tests.fedgen.dashboard.conftest import KEY, SITES, One, enter

QUESTION = "a" * 64
ASKED = QuestionAsked(question=QUESTION, sites=SITES)


def audit(*verdicts: Verdict) -> AuditNumbers:
    rows = tuple(
        Row(
            id=f"row-{number}",
            title=f"Attack {number}",
            group="audit",
            values=(Value(name="AUC", value=0.5 + number / 10, low=0.4, high=0.7),),
            n={"patients": 40},
            findings=(Finding(verdict=verdict, sentence=f"It says {verdict}."),),
        )
        for number, verdict in enumerate(verdicts)
    )
    return AuditNumbers(n={}, rows=rows, limits=(), seed=1, alpha=0.05, claim=Claim(epsilon=1.0, delta=1e-3))


def evaluation(value: float | None) -> EvaluationNumbers:
    values = () if value is None else (Value(name="synthetic to real", value=value),)
    note = WITHHELD if value is None else "Of two images."
    row = Row(id="fid", title="FID", group="fidelity", values=values, n={}, note=note)
    return EvaluationNumbers(n={}, rows=(row,), limits=(), seed=1)


def answer(site: str, question: str = QUESTION, **parts: object) -> SiteAnswer:
    told = {"audit": audit(Verdict.PASS, Verdict.REVIEW), "evaluation": evaluation(12.0), **parts}
    return SiteAnswer(site=site, question=question, **told)  # type: ignore[arg-type]


def test_before_the_question_there_is_nothing() -> None:
    assert site_evidence([StageBegun(stage="assess")], {"east": answer("east")}, noised=False) == ()


def test_who_has_answered_and_who_has_still_to() -> None:
    events = [ASKED, Assessed(site="north"), NotAssessed(site="south", reason="it refused: not now")]
    east, north, south = site_evidence(events, {"north": answer("north")}, noised=False)
    assert (east.standing, south.standing, south.why) == ("awaited", "none", "it refused: not now")
    assert (north.standing, north.verdict, north.judged) == (
        "answered",
        Verdict.REVIEW,
        {Verdict.REVIEW: 1, Verdict.PASS: 1},
    )
    assert north.reason == "Attack 1: It says REVIEW."


def test_what_a_site_said_before_counts_where_it_is_of_this_release() -> None:
    events = [Assessed(site="east"), ASKED.model_copy(update={"kept": ("east", "north")})]
    answers = {"east": answer("east"), "north": answer("north", question="b" * 64)}
    lines = site_evidence(events, answers, noised=False)
    assert [line.standing for line in lines] == ["answered", "awaited", "awaited"]
    # A release that was drawn anew is asked about anew.
    assert [line.standing for line in site_evidence([*events, ASKED], answers, noised=False)] == [
        "awaited"
    ] * 3


def test_what_a_policy_withholds_is_said_and_not_shown() -> None:
    answers = {"east": answer("east", audit=None), "north": answer("north", evaluation=None)}
    events = [ASKED, *(Assessed(site=site) for site in answers)]
    east, north, _ = lines = site_evidence(events, answers, noised=False)
    assert (east.withheld, east.verdict) == (("audit",), None)
    assert (north.withheld, north.verdict) == (("evaluation",), Verdict.REVIEW)
    table = rows_so_far(lines, answers)
    assert table.sites == ("east", "north")
    assert {row.title: [cell.value for cell in row.cells] for row in table.rows} == {
        "FID": [12.0, None],
        "Attack 0": [None, 0.5],
        "Attack 1": [None, 0.6],
    }


def test_of_noised_sums_no_number_is_read_alone() -> None:
    answers = {"east": answer("east")}
    lines = site_evidence([ASKED, Assessed(site="east")], answers, noised=True)
    assert (lines[0].standing, lines[0].verdict, lines[0].judged) == ("answered", None, {})


@pytest.fixture
def assessing(run: RunDirectory) -> RunDirectory:
    run.all_events([StageBegun(stage="assess"), ASKED])
    return run


def came(run: RunDirectory, given: SiteAnswer) -> None:
    given.write(run, f"assessments/{given.site}.json")
    run.event(Assessed(site=given.site))


def test_the_page_shows_each_row_when_it_comes(
    one: One, assessing: RunDirectory, client: TestClient, keys: OneProcess
) -> None:
    enter(client, keys.issue("read"))
    text = client.get("/page").text
    assert "0 of 3 sites have sent their numbers" in text and "Waiting for east, north, south" in text
    came(assessing, answer("north"))
    state = one.state(KEY)
    assert state is not None and state.so_far.sites == ("north",) and state.rows == ()
    text = client.get("/page").text
    assert "1 of 3 sites have sent their numbers" in text and "Waiting for east, south" in text
    assert "Rows so far" in text and "Attack 1: It says REVIEW." in text
    came(assessing, answer("east", evaluation=evaluation(None)))
    text = client.get("/page").text
    assert "kept at the site" in text
    assert "Waiting for south" in text
