"""The ratio curve and the low-data curve: every mark is a value of a row, and the sentence is what intervals say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from fedgen.report.groups import beside
from fedgen.report.page import environment
from fedgen.report.worth_chart import worth_drawings
from fedgen.run.row import Row, SitePart, Value

RATIOS = (0.25, 1.0, 5.0)


def values(template: str, points: dict[float, tuple[float, float, float] | None]) -> tuple[Value, ...]:
    return tuple(
        Value(name=template.format(x), value=None, note="Fewer synthetic images than that.")
        if point is None
        else Value.of(template.format(x), *point)
        for x, point in points.items()
    )


def ratio_rows(leads: Sequence[tuple[float, float, float] | None]) -> list[Row]:
    level: dict[float, tuple[float, float, float] | None] = {0.0: (0.7, 0.6, 0.8)}
    level |= {r: each and (0.75, 0.65, 0.85) for r, each in zip(RATIOS, leads, strict=True)}
    lead = dict(zip(RATIOS, leads, strict=True))
    names = {f"ratio-{arm}": level for arm in ("synthetic", "duplicated", "augmented")}
    names |= {f"ratio-synthetic-against-{control}": lead for control in ("duplicated", "augmented")}
    return [
        Row(id=id, title=id, group="ratio-curve", values=values("ratio {:g}", points))
        for id, points in names.items()
    ]


def titles(svg: ET.Element) -> list[str]:
    return [title.text or "" for title in svg.iter("title")]


def test_each_known_value_is_one_mark_with_its_interval_and_its_place() -> None:
    rows = ratio_rows([(0.1, 0.05, 0.2), (0.0, -0.1, 0.1), (-0.2, -0.3, -0.1)])
    curve, lead = worth_drawings(rows)["ratio-curve"]
    assert curve.svg is not None and lead.svg is not None
    assert len(titles(curve.svg)) == 3 * 4 and len(titles(lead.svg)) == 2 * 3
    assert "ratio-duplicated, ratio 0.25: 0.750, 0.650 to 0.850" in titles(curve.svg)
    assert curve.trace == "evaluation.json rows/ratio-synthetic rows/ratio-duplicated rows/ratio-augmented"
    assert next(name for name, _ in curve.legend) == "synthetic added"


def test_the_sentence_says_where_intervals_are_above_zero_and_where_below() -> None:
    rows = ratio_rows([(0.1, 0.05, 0.2), (0.0, -0.1, 0.1), (-0.2, -0.3, -0.1)])
    said = worth_drawings(rows)["ratio-curve"][1].caption
    assert "surely more than as many duplicated real ones at ratio 0.25, and surely less at ratio 5." in said
    nothing = worth_drawings(ratio_rows([(0.1, -0.01, 0.2)] * 3))["ratio-curve"][1].caption
    assert "at no count surely more than as many duplicated real ones." in nothing


def test_what_is_not_known_is_told_and_not_drawn() -> None:
    curve, _ = worth_drawings(ratio_rows([(0.1, 0.0, 0.2), None, None]))["ratio-curve"]
    assert curve.svg is not None and len(titles(curve.svg)) == 3 * 2
    assert "Not drawn: ratio 1 (fewer synthetic images than that); ratio 5 (" in curve.caption
    assert worth_drawings(ratio_rows([None] * 3))["ratio-curve"] == [], "real images alone are no curve"


def test_a_mean_over_sites_tells_its_sites_reason() -> None:
    rows = ratio_rows([(0.1, 0.0, 0.2), (0.1, 0.0, 0.2), None])
    silent = [
        row.model_copy(
            update={
                "values": tuple(each.model_copy(update={"note": None}) for each in row.values),
                "per_site": (SitePart(site="a", values=row.values, n={}),),
            }
        )
        for row in rows
    ]
    assert "ratio 5 (fewer synthetic images than that)" in worth_drawings(silent)["ratio-curve"][0].caption


def test_all_patients_together_and_the_mean_over_sites_each_have_their_charts() -> None:
    rows = ratio_rows([(0.1, 0.05, 0.2)] * 3)
    drawn = worth_drawings(beside(rows, rows))["ratio-curve"]
    assert [each.title.rsplit(", ")[-1] for each in drawn] == ["all patients together"] * 2 + [
        "mean over sites"
    ] * 2
    assert "pooled/ratio-synthetic" in drawn[0].trace and "rows/ratio-synthetic" in drawn[2].trace


def test_the_low_data_curve_stands_on_equal_factors_with_no_two_numbers_upon_each_other() -> None:
    points = dict.fromkeys((1.0, 5.0, 10.0, 12.0, 25.0, 50.0, 100.0), (0.6, 0.5, 0.7))
    rows = [
        Row(id=f"low-data-{arm}", title=arm, group="low-data-curve", values=values("{:g} %", points))
        for arm in ("real", "with-synthetic", "difference")
    ]
    curve, _ = worth_drawings(rows)["low-data-curve"]
    assert curve.svg is not None
    at = {
        float(match[1]): float(dot.get("cx") or "nan")
        for dot in curve.svg.iter("circle")
        if (match := re.match(r"real, ([\d.]+) %", dot.findtext("title") or ""))
    }
    assert at[10] - at[1] == pytest.approx(at[100] - at[10], abs=0.05)
    printed = [text.text for text in curve.svg.iter("text") if text.get("text-anchor") == "middle"]
    assert "10" in printed and "12" not in printed
    page = (
        environment()
        .from_string('{% import "macros.html" as m %}{{ m.drawings(made) }}')
        .render(made=[curve])
    )
    assert page.count("<svg") == 1 and "real alone" in page
    assert "also of those who are left out here" in curve.caption
