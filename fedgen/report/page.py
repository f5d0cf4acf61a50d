"""The report: one HTML file that opens offline, on a phone and on paper."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from fedgen import __version__
from fedgen.report import charts, numbers
from fedgen.report.commands import commands, federated
from fedgen.report.curves import curves, draw_curves
from fedgen.report.evidence import Evidence, read_evidence
from fedgen.report.groups import sections
from fedgen.report.headline import headlines, limits
from fedgen.report.pictures import NEIGHBOURS, REAL_VS_SYNTHETIC, SYNTHETIC, read_rows
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run.row import Value
from fedgen.study.modes import is_private


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` and the curves in `figures/` from what the run directory holds.

    A stage that has not run is named in its section.

    Raises:
        DataError: the folder is no run directory, a file in it is damaged, or the disk is full.
    """
    evidence = read_evidence(run)
    draw_curves(run.figures, evidence.events, target=_target(evidence))
    path = run.path / "report.html"
    write_atomic(path, render(evidence, run.figures).encode())
    return path


def render(evidence: Evidence, figures: Path, *, now: datetime | None = None) -> str:
    """The page as text.

    Args:
        evidence: what the stages left.
        figures: folder of the pictures that were drawn.
        now: the time printed at the end.
    """
    tiles = read_rows(figures, REAL_VS_SYNTHETIC) or read_rows(figures, SYNTHETIC)
    neighbours = read_rows(figures, NEIGHBOURS)
    values: dict[str, Any] = {
        "evidence": evidence,
        "run": evidence.run,
        "privacy": evidence.privacy,
        "audit": evidence.audit,
        "evaluation": evidence.evaluation,
        "sections": sections(evidence.evaluation.rows if evidence.evaluation else ()),
        "study": evidence.study,
        "headlines": headlines(evidence),
        "limits": limits(evidence),
        "curves": curves(evidence.events, target=_target(evidence)),
        "class_names": _class_names(evidence),
        "groups": list(dict.fromkeys(row.group for row in tiles)),
        "tiles": tiles,
        "neighbours": neighbours,
        "shows_real": bool(neighbours) or any(row.kind == "real" for row in tiles),
        "commands": commands(evidence),
        "federated": federated(evidence),
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
        "inline": charts.inline,
    }
    made.globals |= {"interval": numbers.interval, "interval_mark": _interval_mark}
    made.tests |= {"absent": numbers.absent}
    return made


def _interval_mark(value: Value) -> Markup:
    chance = 0.5 if value.chance is None else value.chance
    return charts.inline(charts.interval_mark(value.value, value.low, value.high, chance))


def _target(evidence: Evidence) -> float | None:
    """The study's epsilon, where the run spends any."""
    section = evidence.study.get("privacy") or {}
    return section.get("epsilon") if is_private(section.get("mode", "")) else None


def _class_names(evidence: Evidence) -> list[str]:
    """The study's classes in their order, then any other that a site reports; none where no site counts them."""
    if not any(site.get("classes") for site in evidence.run.get("sites") or ()):
        return []
    listed = list((evidence.study.get("data") or {}).get("labels") or ())
    seen = [name for site in evidence.run.get("sites") or () for name in site.get("classes") or ()]
    return list(dict.fromkeys([*listed, *seen]))
