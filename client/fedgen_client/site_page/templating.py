"""The templates of the hospital's page, on the look of every live page."""

from __future__ import annotations

import math
from functools import cache

from jinja2 import Environment

from fedgen.dashboard.page_look import environment
from fedgen.report.numbers import DASH


@cache
def templates() -> Environment:
    """Jinja with the filters that numbers of this page need."""
    made = environment("fedgen_client.site_page")
    made.filters |= {"plain": plain, "up": up, "down": down, "minute": minute}
    return made


def plain(value: float | None) -> str:
    """As `fedgen-client ledger` prints it.

    >>> plain(10.0), plain(1e-5), plain(2.985), plain(None)
    ('10', '1e-05', '2.985', '—')
    """
    return DASH if value is None else f"{value:g}"


def up(epsilon: float) -> str:
    """Epsilon that is spent, never shown as less; what adding made of the last digit of a float is left out.

    >>> up(0.0151), up(10.0 - 2.985)
    ('0.016', '7.015')
    """
    return f"{math.ceil(round(epsilon * 1000, 6)) / 1000:g}"


def down(epsilon: float) -> str:
    """Epsilon that is left, never shown as more.

    >>> down(2.0425), down(10.0 - 2.985)
    ('2.042', '7.015')
    """
    return f"{math.floor(round(epsilon * 1000, 6)) / 1000:g}"


def minute(time: str) -> str:
    """A time in ISO 8601, without its seconds.

    >>> minute("2026-01-02T03:04:05.678+00:00")
    '2026-01-02 03:04'
    """
    return time.replace("T", " ")[:16]
