"""The look of every live page: Jinja with its base template and parts, and the one style sheet and script.

A page extends `base.html` and takes its pieces from `parts.html`; `chip` and `icon` are the report's (`macros.html`).
Nothing in a template has a `style` attribute or an inline script: the pages' Content-Security-Policy allows none.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fedgen.report import numbers

#: Packages whose folder `templates` the pages' own come before.
_SHARED = ("fedgen.dashboard", "fedgen.report")
#: In the order in which a later rule wins.
_SHEETS = (("fedgen.report", "look.css"), ("fedgen.dashboard", "live.css"))

#: Younger than this, an age is not worth a word.
FRESH_MINUTES = 2


@cache
def environment(package: str = "fedgen.dashboard") -> Environment:
    """Jinja with escaping on, the filters of the report, and an error for what is not given.

    Args:
        package: whose folder `templates` is looked into first.
    """
    packages = dict.fromkeys((package, *_SHARED))
    made = Environment(
        loader=ChoiceLoader([PackageLoader(each, "templates") for each in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=numbers.printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": numbers.number,
        "count": numbers.count,
        "epsilon": numbers.epsilon,
        "percent": numbers.percent,
        "seconds": numbers.seconds,
        "bytes": size,
        "ago": ago,
    }
    made.filters["code"] = code
    made.globals |= {"interval": numbers.interval, "look": _version()}
    made.tests |= {"absent": numbers.absent}
    return made


def size(value: int) -> str:
    """Bytes in the unit that a person would use.

    >>> size(512), size(2_340_000), size(0)
    ('512\u202fB', '2.3\u202fMB', '0\u202fB')
    """
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if value >= 10**power:
            return f"{value / 10**power:.1f}{numbers.THIN}{unit}"
    return f"{value}{numbers.THIN}B"


def ago(moment: str | None, now: datetime | None = None) -> str:
    """How long ago a moment in ISO 8601 was, in the largest whole unit; nothing of the last two minutes.

    >>> noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    >>> ago("2026-01-31T11:15:00+00:00", noon), ago("2026-01-28T11:00:00+00:00", noon)
    ('45\u202fmin ago', '3\u202fdays ago')
    >>> ago(None, noon), ago("2026-01-31T11:59:00+00:00", noon)
    ('', '')
    """
    if moment is None:
        return ""
    minutes = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds() / 60
    if minutes < FRESH_MINUTES:
        return ""
    for length, unit in ((2 * 24 * 60, "days"), (2 * 60, "h")):
        if minutes >= length:
            whole = int(minutes / (60 if unit == "h" else 24 * 60))
            return f"{whole}{numbers.THIN}{unit} ago"
    return f"{int(minutes)}{numbers.THIN}min ago"


def code(text: str) -> Markup:
    """A sentence of ours with what is to be typed in it, which stands between backticks.

    >>> code("run `fedgen-client deny <x>` & wait")
    Markup('run <code>fedgen-client deny &lt;x&gt;</code> &amp; wait')
    """
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


@cache
def sheet() -> str:
    """`look.css`: the report's colours and type, and what a live page adds."""
    return "\n".join(
        files(package).joinpath("templates", name).read_text("utf-8") for package, name in _SHEETS
    )


@cache
def icon() -> str:
    """`icon.svg`, of the tab."""
    return files("fedgen.dashboard").joinpath("templates", "icon.svg").read_text("utf-8")


@cache
def _version() -> str:
    # In the address of the sheet, so that a browser that kept an old one asks for the new.
    return hashlib.sha256(sheet().encode()).hexdigest()[:12]
