from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fedgen.report.charts import Point, interval_mark, line_chart, presence_chart
from fedgen.report.curves import curves, draw_curves
from fedgen.report.svg import standalone
from fedgen.run.events import RoundDone, RoundLoss, StageBegun

SVG = "{http://www.w3.org/2000/svg}"


def _round(
    n: int, loss: float | None, sites: list[str], epsilon: float | None = None, std: float | None = None
) -> RoundDone:
    losses = {} if loss is None else {"vae": RoundLoss(value=loss, std=std or 0.0)}
    return RoundDone(round=n, losses=losses, epsilon=epsilon, sites=tuple(sites), seconds=1.0)


def _marks(svg: ET.Element) -> list[tuple[float, float]]:
    return [(float(dot.get("cx") or "nan"), float(dot.get("cy") or "nan")) for dot in svg.iter("circle")]


def test_points_keep_the_order_and_the_proportions_of_their_values() -> None:
    svg = line_chart([Point(1, 1.0), Point(2, 3.0), Point(4, 2.0)], description="d", x_label="round")
    (x1, y1), (x2, y2), (x3, y3) = _marks(svg)
    assert (x3 - x2) == pytest.approx(2 * (x2 - x1), abs=0.05)
    assert (y1 - y3) == pytest.approx((y1 - y2) / 2, abs=0.05)
    assert y2 < y1, "a larger value stands higher"


def test_a_missing_value_interrupts_the_line() -> None:
    points = [Point(1, 1.0), Point(2, 1.5), Point(3, None), Point(4, 1.2), Point(5, 1.1)]
    svg = line_chart(points, description="d", x_label="round")
    lines = [path for path in svg.iter("path") if "stroke-width:1.8" in (path.get("style") or "")]
    assert len(lines) == 2
    assert len(_marks(svg)) == 4


def test_a_band_is_drawn_only_where_there_is_noise() -> None:
    noisy = line_chart([Point(1, 1.0, 0.2), Point(2, 1.1, 0.2)], description="d", x_label="r")
    plain = line_chart([Point(1, 1.0), Point(2, 1.1)], description="d", x_label="r")
    bands = [[p for p in svg.iter("path") if "opacity" in (p.get("style") or "")] for svg in (noisy, plain)]
    assert [len(band) for band in bands] == [1, 0]


@pytest.mark.parametrize("points", [[], [Point(1, None)], [Point(1, 0.0)], [Point(1, 5.0), Point(2, 5.0)]])
def test_few_or_equal_points_are_no_trouble(points: list[Point]) -> None:
    text = standalone(line_chart(points, description="d", x_label="r")).decode()
    assert "nan" not in text
    assert ET.fromstring(text).tag == f"{SVG}svg"


def test_every_round_and_site_has_a_cell() -> None:
    svg = presence_chart([1, 2, 5], [("a", [True, False, True]), ("b", [False] * 3)], "d")
    cells = list(svg.iter("rect"))
    assert len(cells) == 6
    assert sum("fill:none" not in (cell.get("style") or "") for cell in cells) == 2


def test_an_interval_mark_stays_on_its_axis() -> None:
    svg = interval_mark(1.4, -0.2, 2.0, reference=0.5)
    assert 0 < _marks(svg)[0][0] < 150


def test_curves_hold_one_loss_an_objective_the_epsilon_and_the_sites() -> None:
    events = [
        StageBegun(stage="train"),
        _round(2, 0.5, ["a"], epsilon=2.0, std=0.1),
        _round(1, 0.9, ["a", "b"], epsilon=1.0, std=0.1),
        _round(2, 0.4, ["b"], epsilon=2.0, std=0.1),
    ]
    made = curves(events, target=3.0)
    assert [curve.name for curve in made] == ["loss_vae", "epsilon", "sites"]
    assert "noise" in made[0].caption
    assert len(_marks(made[0].svg)) == 2, "a round that was repeated counts once"
    assert "target 3" in standalone(made[1].svg).decode()
    assert curves([StageBegun(stage="train")]) == []


def test_a_run_without_privacy_has_no_epsilon_curve_and_says_no_noise() -> None:
    made = curves([_round(1, 0.9, ["a"]), _round(2, 0.8, ["a"])])
    assert [curve.name for curve in made] == ["loss_vae", "sites"]
    assert "no noise" in made[0].caption


def test_curves_are_written_as_svg_with_hostile_names_escaped(tmp_path: Path) -> None:
    paths = draw_curves(tmp_path / "figures", [_round(1, 0.9, ["<script>&"])])
    assert [path.name for path in paths] == ["loss-vae.svg", "sites.svg"]
    text = paths[1].read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "<script>& \u00b7 1 of 1" in [element.text for element in ET.fromstring(text).iter(f"{SVG}text")]
