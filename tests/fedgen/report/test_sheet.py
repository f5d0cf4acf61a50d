"""The first page, the threats and the charts: made of rows, no kinder than they are, each with its place."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from fedgen.report.detectable import unseen
from fedgen.report.groups import beside
from fedgen.report.heat_map import heat_drawing
from fedgen.report.plot import Plot, Scale
from fedgen.report.roc_chart import roc_drawings, roc_points
from fedgen.report.sheet import REASONS, answers, first_reasons, means
from fedgen.report.threats import checks, threats
from fedgen.report.traces import place, trace
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile, Claim
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.run_view import RunView
from fedgen_privacy.statistics.dp_bounds import right_guesses


def row(id: str, *values: Value, verdict: Verdict | None = None, group: str = "audit", **more: Any) -> Row:
    findings = () if verdict is None else (Finding(verdict=verdict, sentence="because"),)
    return Row(id=id, title=id.replace("-", " "), group=group, values=values, findings=findings, **more)


def shown(pooled: list[Row], rows: list[Row]) -> list[Row]:
    return beside(pooled, rows)


def marks(svg: ET.Element) -> list[tuple[float, float, bool]]:
    return [
        (float(dot.get("cx") or "nan"), float(dot.get("cy") or "nan"), "paper" in (dot.get("style") or ""))
        for dot in svg.iter("circle")
    ]


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 8.0])
def test_the_share_of_right_guesses_is_the_best_of_all_thresholds(epsilon: float) -> None:
    """Against a search over the trade-off curve itself, in place of the closed form."""
    delta, rates = 1e-3, np.linspace(0, 1, 200_001)
    finds = np.minimum(
        1, np.minimum(np.exp(epsilon) * rates + delta, 1 - (1 - delta - rates) * np.exp(-epsilon))
    )
    assert right_guesses(epsilon, delta) == pytest.approx(float(np.max((finds + 1 - rates) / 2)), abs=1e-5)
    assert right_guesses(0.0, 0.0) == 0.5


def test_a_row_says_where_it_comes_from() -> None:
    together, own = shown([row("a", Value(name="x", value=1.0))], [row("a", Value(name="x", value=2.0))])
    assert (place(together), place(own)) == ("pooled/a", "rows/a")
    assert trace("audit.json", together, together, own) == "audit.json pooled/a rows/a"


def test_the_first_page_answers_every_question_with_its_place(finished_run: RunDirectory) -> None:
    view = RunView(finished_run)
    assert view.audit is not None
    found = {
        each.question: each for each in answers(view, shown(list(view.audit.pooled), list(view.audit.rows)))
    }
    assert list(found) == [
        "What was made",
        "What a patient is promised",
        "What the audits found",
        "What they could not have seen",
        "What it is worth in use",
        "What stays open",
    ]
    assert all(each.answer and each.trace for each in found.values())
    assert "20 synthetic images" in found["What was made"].answer
    assert "excludes almost no attack" in found["What a patient is promised"].answer, "epsilon 8"
    assert "smallest detectable AUC" in found["What they could not have seen"].answer


def test_a_run_without_privacy_promises_nothing(finished_run: RunDirectory) -> None:
    value = finished_run.read_json("privacy.json")
    finished_run.write_json("privacy.json", {**value, "mode": "none", "epsilon": None, "delta": None})
    view = RunView(finished_run)
    said = {each.question: each.answer for each in answers(view, [])}
    assert said["What a patient is promised"].startswith("Nothing. Training had neither clipping nor noise")
    assert all("Not covered" in threat.covered for threat in threats(view, []))


def test_verdicts_on_the_first_page_are_those_that_the_gate_takes(finished_run: RunDirectory) -> None:
    """A site too small to be judged counts where all are together; a site's own FAIL does."""
    audits = shown(
        [row("copies", Value(name="x", value=1.0), verdict=Verdict.PASS), row("loss", verdict=Verdict.PASS)],
        [
            row("copies", verdict=Verdict.INSUFFICIENT),
            row("loss", verdict=Verdict.FAIL),
            row("alone", verdict=Verdict.REVIEW),
        ],
    )
    said = {each.question: each.answer for each in answers(RunView(finished_run), audits)}
    assert "1 FAIL, 1 REVIEW, 1 PASS" in said["What the audits found"]


def test_many_reasons_go_on_after_the_first_page(finished_run: RunDirectory) -> None:
    value = finished_run.read_json("audit.json")
    finished_run.write_json("audit.json", {**value, "reasons": [f"reason {n}" for n in range(REASONS + 3)]})
    first, more = first_reasons(RunView(finished_run).audit)
    assert (len(first), more) == (REASONS, ("reason 5", "reason 6", "reason 7"))
    assert "no proof" in means(RunView(finished_run).audit) or value["verdict"] != "PASS"
    assert "nothing is known" in means(None)


def test_each_audit_answers_the_attacker_who_has_what_it_reads(finished_run: RunDirectory) -> None:
    audits = [
        row("copy-detection", verdict=Verdict.PASS),
        row("release-membership", verdict=Verdict.PASS),
        row("model-membership", verdict=Verdict.REVIEW),
        row("gradient-inversion", verdict=Verdict.PASS),
        row("something-new", verdict=Verdict.PASS),
        row("blind-baseline", verdict=Verdict.PASS),
    ]
    found = {
        threat.who: [each.id for each in threat.rows] for threat in threats(RunView(finished_run), audits)
    }
    assert found == {
        "The coordinator": ["gradient-inversion"],
        "Another hospital of the study": [],
        "Whoever receives the images": ["copy-detection", "release-membership"],
        "Whoever receives the model": ["model-membership", "something-new"],
        "Whoever reads this page": [],
    }
    assert [each.id for each in checks(audits)] == ["blind-baseline"]


def test_what_could_not_be_seen_is_read_from_rows_once() -> None:
    least = Value(name="smallest detectable AUC", value=0.63, note="80 % power")
    parts = tuple(
        SitePart(site=site, values=(least.model_copy(update={"value": value}),))
        for site, value in (("a", 0.76), ("b", 0.8))
    )
    audits = shown(
        [row("loss", least, per_site=parts)], [row("loss", per_site=parts), row("alone", per_site=parts)]
    )
    first, second = unseen(audits)
    assert (first.together, first.sites, first.trace) == ("0.630", "0.760 to 0.800", "audit.json pooled/loss")
    assert (second.together, second.sites, second.trace) == (
        "\u2014",
        "0.760 to 0.800",
        "audit.json rows/alone",
    )
    assert unseen([row("other", Value(name="AUC", value=0.5))]) == []


def audit_of(run: RunDirectory, epsilon: float | None, rows: list[Row]) -> AuditFile:
    return AuditFile.read(run).model_copy(
        update={"claim": Claim(epsilon=epsilon, delta=1e-5), "rows": tuple(rows), "pooled": ()}
    )


def test_points_of_a_roc_curve_are_read_by_their_names() -> None:
    names = ["TPR at 10 % FPR", "TPR at 0.1 % FPR", "TPR at 1% FPR (mean)", "TPR at 1% FPR (max)", "AUC"]
    values = [Value(name=name, value=0.1) for name in [*names, "TPR permitted at 1% FPR"]]
    assert [point.rate for point in roc_points(values)] == pytest.approx([0.001, 0.01, 0.1])


def test_a_roc_chart_has_its_points_at_logarithms_and_says_what_is_missing(
    finished_run: RunDirectory,
) -> None:
    attack = row(
        "model-membership",
        Value(name="TPR at 1 % FPR", value=0.01, low=0.005, high=0.02),
        Value(name="TPR at 10 % FPR", value=0.1),
        Value(name="TPR at 0.1 % FPR", value=None, note="too few held-out patients"),
        Value(name="TPR at 50 % FPR", value=0.0),
    )
    (drawing,) = roc_drawings(audit_of(finished_run, 2.0, [attack]), [attack])
    assert drawing.svg is not None
    at = sorted(marks(drawing.svg))
    (x1, y1, _), (x2, y2, _), (x3, _, hollow) = at
    assert x2 - x1 == pytest.approx(y1 - y2, rel=0.9), "on the diagonal of equal rates"
    assert (x3 - x2) / (x2 - x1) == pytest.approx(math.log10(5), abs=0.01)
    assert hollow, "a rate of nobody lies beyond a logarithmic axis"
    assert "TPR at 0.1 % FPR of model membership (too few held-out patients)" in drawing.caption
    assert "permits in a split of fixed size" in drawing.caption
    assert drawing.trace == "audit.json rows/model-membership"


def test_without_privacy_no_theory_is_drawn(finished_run: RunDirectory) -> None:
    attack = row("model-membership", Value(name="TPR at 1 % FPR", value=0.5))
    (drawing,) = roc_drawings(audit_of(finished_run, None, [attack]), [attack])
    assert drawing.svg is not None
    assert "without privacy" in drawing.caption
    assert not [path for path in drawing.svg.iter("path") if "opacity:.09" in (path.get("style") or "")]
    assert (
        roc_drawings(audit_of(finished_run, 1.0, []), [row("copies", Value(name="share", value=0.1))]) == []
    )


def test_sites_are_drawn_where_nobody_has_all_patients(finished_run: RunDirectory) -> None:
    parts = tuple(
        SitePart(site=site, values=(Value(name="TPR at 1 % FPR", value=value),))
        for site, value in (("a", 0.02), ("b", 0.3))
    )
    attack = row("model-membership", per_site=parts)
    (drawing,) = roc_drawings(audit_of(finished_run, 1.0, [attack]), [attack])
    assert drawing.svg is not None
    assert len(marks(drawing.svg)) == 2
    assert drawing.caption.startswith("One mark a site.")


def test_the_heat_map_has_a_square_a_pair_of_sites() -> None:
    sites = ("north", "south", "<west>")
    rows = [
        row(
            f"trained-on-{n}",
            group="between_sites",
            per_site=tuple(
                SitePart(site=site, values=(Value(name="AUROC", value=None if k == 2 else 0.5 + 0.25 * k),))
                for k, site in enumerate(sites)
            ),
        )
        for n in range(3)
    ]
    drawing = heat_drawing(rows)
    assert drawing is not None
    assert drawing.svg is not None
    depth = [
        style.partition("fill-opacity:")[2][:4]
        for box in drawing.svg.iter("rect")
        if (style := box.get("style"))
    ]
    assert depth == ["0.00", "0.45", "0.00"] * 3
    assert "<west>" in {title.text for title in drawing.svg.iter("title")}
    assert heat_drawing([replace_group(each) for each in rows]) is None


def replace_group(made: Row) -> Row:
    return made.model_copy(update={"group": "other"})


def test_a_scale_keeps_proportions_and_ends() -> None:
    log = Scale(0.001, 1.0, (0.001, 1.0), "x", log=True)
    assert [log.share(value) for value in (1e-9, 0.001, 0.01, 1.0, 5.0)] == pytest.approx([0, 0, 1 / 3, 1, 1])
    linear = Scale.of([2.0, 3.9], "y")
    assert linear.low <= 2.0 < 3.9 <= linear.high
    plot = Plot(log, linear, "chart")
    assert plot.at_x(1.0) > plot.at_x(0.01)
    assert plot.at_y(3.0) < plot.at_y(2.5)
