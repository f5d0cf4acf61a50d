"""The report: one HTML file that opens offline, on a phone and on paper."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from fedgen import __version__
from fedgen.errors import DataError
from fedgen.report import charts, numbers, svg
from fedgen.report.commands import commands
from fedgen.report.curves import curves, draw_curves
from fedgen.report.detectable import unseen
from fedgen.report.groups import beside, sections
from fedgen.report.headline import headlines, limits
from fedgen.report.heat_map import GROUP, heat_drawing
from fedgen.report.picture_rows import MADE, NEIGHBOURS, REAL_VS_SYNTHETIC, SYNTHETIC, TRANSLATIONS, read_rows
from fedgen.report.roc_chart import roc_drawings
from fedgen.report.sheet import answers, first_reasons, means
from fedgen.report.threats import checks, threats
from fedgen.report.traces import Drawing, place, short, trace
from fedgen.report.worth_chart import worth_drawings
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run.row import Row, Value
from fedgen.run.summary import RunSummary
from fedgen.run_view import RunView


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` and the curves in `figures/` from what the run directory holds.

    A stage that has not run is named in its section.

    Raises:
        DataError: the folder is no run directory, a file in it is damaged, or the disk is full.
    """
    view = RunView(run)
    if {RunSummary.name, "study.yaml"} <= view.missing:
        raise DataError(
            f"{run.path} is not a run directory (no run.json, no study.yaml): give the folder of a run."
        )
    draw_curves(run.figures, view.events, target=_target(view))
    path = run.path / "report.html"
    write_atomic(path, render(view).encode())
    return path


def render(view: RunView, *, now: datetime | None = None, patients: bool = True) -> str:
    """The page as text.

    Args:
        view: the run; the pictures that were drawn are in its `figures`.
        now: the time printed at the end.
        patients: whether pictures of patients, which a simulation has, are shown; a page that is handed on has none.
    """
    figures, evaluation = view.run.figures, view.evaluation
    tiles = read_rows(figures, REAL_VS_SYNTHETIC) or read_rows(figures, SYNTHETIC)
    neighbours, translations = read_rows(figures, NEIGHBOURS), read_rows(figures, TRANSLATIONS)
    if not patients:
        # What is known to be drawn stays, not what is known to be real goes.
        tiles, neighbours, translations = [row for row in tiles if row.kind == MADE], [], []
    audits = beside(view.audit.pooled, view.audit.rows) if view.audit else []
    measured = beside(evaluation.pooled, evaluation.rows) if evaluation else []
    reasons, more_reasons = first_reasons(view.audit)
    values: dict[str, Any] = {
        "view": view,
        "run": view.summary,
        "privacy": view.privacy,
        "audit": view.audit,
        "audits": audits,
        "means": means(view.audit),
        "reasons": reasons,
        "more_reasons": more_reasons,
        "answers": answers(view, audits),
        "threats": threats(view, audits),
        "checks": checks(audits),
        "unseen": unseen(audits),
        "roc": roc_drawings(view.audit, audits) if view.audit else [],
        "evaluation": evaluation,
        "sections": sections(measured),
        "drawings": _drawings(measured),
        "study": view.study,
        "headlines": headlines(view),
        "limits": limits(view),
        "curves": curves(view.events, target=_target(view)),
        "class_names": _class_names(view),
        "groups": list(dict.fromkeys(row.group for row in tiles)),
        "tiles": tiles,
        "neighbours": neighbours,
        "translations": translations,
        "shows_real": bool(neighbours or translations) or any(row.kind == "real" for row in tiles),
        "commands": commands(view),
        "federated": view.federated,
        "patients": patients,
        "version": __version__,
        "now": (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment().get_template("report.html").render(values)


@cache
def environment() -> Environment:
    """Jinja with escaping on, and nothing absent ever printed as a word of Python."""
    made = Environment(
        loader=PackageLoader("fedgen.report", "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=numbers.printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": numbers.number,
        "scientific": numbers.scientific,
        "count": numbers.count,
        "epsilon": numbers.epsilon,
        "percent": numbers.percent,
        "seconds": numbers.seconds,
        "inline": svg.inline,
        "place": place,
        "short": short,
    }
    made.globals |= {"interval": numbers.interval, "interval_mark": _interval_mark, "trace": trace}
    made.tests |= {"absent": numbers.absent}
    return made


def _interval_mark(value: Value) -> Markup:
    chance = 0.5 if value.chance is None else value.chance
    return svg.inline(charts.interval_mark(value.value, value.low, value.high, chance))


def _drawings(rows: list[Row]) -> dict[str, list[Drawing]]:
    """Charts of the evaluation by the group of their rows."""
    heat = heat_drawing(rows)
    return {GROUP: [] if heat is None else [heat], **worth_drawings(rows)}


def _target(view: RunView) -> float | None:
    """The study's epsilon, where the run spends any."""
    study = view.study
    return study.privacy.epsilon if study and study.privacy.private else None


def _class_names(view: RunView) -> list[str]:
    """The study's classes in their order, then any other that a site reports; none where no site counts them."""
    seen = [name for site in view.summary.sites for name in site.classes or ()]
    listed = view.study.data.classes if view.study and seen else ()
    return list(dict.fromkeys([*listed, *seen]))
